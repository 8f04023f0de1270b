//! Users: registration, profile, password, ban, deletion.

use tidestore_directory::{
    Deletion, MuteChange, MutedUser, Mutes, NewUser, Page, Password, PasswordCost, User,
    UserChange, UserCounts,
};
use tidestore_plan::UserId;

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::store::blocking;

/// The users of an app.
#[derive(Clone, Copy, Debug)]
pub struct Users<'a>(&'a App);

/// A user to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The id; free in the app.
    pub id: UserId,
    /// The password, at most 64 characters; only its argon2 hash is kept. A user without one cannot log in by password.
    pub password: Option<String>,
    /// What push notices call him, at most 100 characters.
    pub nickname: Option<String>,
}

impl Account {
    /// A user without password and nickname.
    pub fn new(id: UserId) -> Self {
        Self {
            id,
            password: None,
            nickname: None,
        }
    }
}

impl App {
    /// The app's users.
    pub fn users(&self) -> Users<'_> {
        Users(self)
    }
}

impl Users<'_> {
    /// Registers a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the id is taken, [`ErrorKind::Limit`](crate::ErrorKind::Limit)
    /// if the plan allows no more users, or password or nickname are too long.
    pub async fn register(&self, account: Account) -> Result<User> {
        let user = account.id.clone();
        match self.try_register(account.clone()).await {
            // As with groups: what is left of a deletion that was cut short must not keep the id.
            Err(error)
                if matches!(error.kind(), ErrorKind::Directory(_))
                    && self.get(&user).await.is_err() =>
            {
                match self.delete(&user).await {
                    Ok(_) => self.try_register(account).await,
                    Err(nothing) if matches!(nothing.kind(), ErrorKind::Directory(_)) => Err(error),
                    Err(why) => Err(why),
                }
            }
            registered => registered,
        }
    }

    async fn try_register(&self, account: Account) -> Result<User> {
        let prepared = self.prepare(vec![account]).await?;
        let registered = self.0.register_anew(prepared, |editor, new| {
            new.into_iter().map(|new| editor.register(new)).collect()
        });
        let registered: Vec<User> = registered.await?;
        let none = || Error::new(ErrorKind::Argument, "no user was given");
        registered.into_iter().next().ok_or_else(none)
    }

    /// Registers up to 60 users in one change, and says of each how it went: those whose ids are taken, or for whom the
    /// plan has no place, fail; the others are registered.
    ///
    /// # Errors
    ///
    /// If there are more than 60, or one id twice: nobody is registered.
    pub async fn register_many(&self, accounts: Vec<Account>) -> Result<Vec<Result<User>>> {
        let max = self.0.store().inner.options.limits.clone();
        max.check(
            tidestore_plan::Limit::RegistrationBatch,
            accounts.len() as u64,
        )?;
        let prepared = self.prepare(accounts).await?;
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method itself is not general enough in its lifetimes"
        )]
        let done = self
            .0
            .register_anew(prepared, |editor, new| editor.register_many(new))
            .await?;
        Ok(done
            .into_iter()
            .map(|user| user.map_err(Error::from))
            .collect())
    }

    /// Hashes passwords and draws what has to be random, away from the committer and from the caller's runtime.
    async fn prepare(&self, accounts: Vec<Account>) -> Result<Vec<NewUser>> {
        let inner = std::sync::Arc::clone(&self.0.store().inner);
        blocking(move || {
            let prepare = |account: Account| {
                let Account {
                    id,
                    password,
                    nickname,
                } = account;
                let hash = |text: String| hashed(&inner, &text);
                Ok(NewUser {
                    id,
                    uuid: inner.random()?,
                    nickname,
                    password_hash: password.map(hash).transpose()?,
                })
            };
            accounts.into_iter().map(prepare).collect()
        })
        .await
    }

    /// Finds a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn get(&self, user: &UserId) -> Result<User> {
        let user = user.clone();
        self.0.look_up(move |directory| directory.user(&user)).await
    }

    /// How many of everything belong to a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn counts(&self, user: &UserId) -> Result<UserCounts> {
        let user = user.clone();
        self.0
            .look_up(move |directory| directory.user_counts(&user))
            .await
    }

    /// A page of users, oldest registration first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the cursor is not of this list.
    pub async fn list(&self, cursor: Option<&str>, limit: usize) -> Result<Page<User>> {
        let cursor = cursor.map(str::to_owned);
        self.0
            .look_up(move |directory| directory.users(cursor.as_deref(), limit))
            .await
    }

    /// Changes nickname and push settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory), [`ErrorKind::Limit`](crate::ErrorKind::Limit).
    pub async fn change(&self, user: &UserId, change: UserChange) -> Result<User> {
        let user = user.clone();
        self.0
            .edit_directory(move |editor| editor.change_user(&user, change))
            .await
    }

    /// Sets the password, and revokes all tokens of the user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such user, or the password is empty;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) over 64 characters.
    pub async fn set_password(&self, user: &UserId, password: &str) -> Result<()> {
        let (inner, password) = (
            std::sync::Arc::clone(&self.0.store().inner),
            password.to_owned(),
        );
        let hash = blocking(move || hashed(&inner, &password)).await?;
        let user = user.clone();
        self.0
            .edit_directory(move |editor| editor.set_password(&user, hash))
            .await
    }

    /// Whether a password is the user's. Never true for a user without one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such user, or he is banned.
    pub async fn check_password(&self, user: &UserId, password: &str) -> Result<bool> {
        let (user, password) = (user.clone(), password.to_owned());
        self.0
            .look_up(move |directory| {
                directory.check_sender(&user)?;
                match directory.password_hash(&user)? {
                    Some(hash) => Password::verify(&password, &hash),
                    None => Ok(false),
                }
            })
            .await
    }

    /// Bans a user: he is cut off, cannot send, and stays what he was otherwise. All his tokens are revoked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn ban(&self, user: &UserId) -> Result<User> {
        let id = user.clone();
        let banned = self.0.edit_directory(move |editor| editor.ban(&id)).await?;
        self.0.connections().disconnect_user(user);
        Ok(banned)
    }

    /// How often all tokens of a user were revoked: by a ban, or a new password. One that was given under a smaller number is
    /// worth nothing. Whoever is registered under the id of a deleted user begins at 0 again, so a token has to name
    /// [`User::uuid`] too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn token_revision(&self, user: &UserId) -> Result<u64> {
        let user = user.clone();
        self.0
            .look_up(move |directory| directory.token_revision(&user))
            .await
    }

    /// Takes a ban back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn unban(&self, user: &UserId) -> Result<User> {
        let user = user.clone();
        self.0
            .edit_directory(move |editor| editor.unban(&user))
            .await
    }

    /// Mutes a user everywhere in the app, by kind of chat, or lifts that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn mute(&self, user: &UserId, change: MuteChange) -> Result<Mutes> {
        let user = user.clone();
        self.0
            .edit_directory(move |editor| editor.set_mutes(&user, change))
            .await
    }

    /// How long a user is muted, by kind of chat.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn mutes(&self, user: &UserId) -> Result<Mutes> {
        let (user, now) = (user.clone(), self.0.now());
        self.0
            .look_up(move |directory| directory.mutes(&user, now))
            .await
    }

    /// A page of those that are muted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the cursor is not of this list.
    pub async fn muted(&self, cursor: Option<&str>, limit: usize) -> Result<Page<MutedUser>> {
        let (cursor, now) = (cursor.map(str::to_owned), self.0.now());
        self.0
            .look_up(move |directory| directory.muted_users(cursor.as_deref(), limit, now))
            .await
    }

    /// Deletes a user with all that is his: contacts, attributes, push settings, the groups and rooms he owns. From the first moment on
    /// he is gone for everybody; one with a great many rows goes in several records, and a deletion that a crash
    /// interrupted is finished after opening.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn delete(&self, user: &UserId) -> Result<User> {
        let budget = self.0.store().inner.options.deletion_rows;
        loop {
            let id = user.clone();
            let step = self
                .0
                .edit_directory(move |editor| editor.delete_user_step(&id, budget))
                .await?;
            if let Deletion::Done(user) = step {
                let home = self.0.home();
                home.leave(self.0.take_back_pins().await);
                home.leave(self.0.finish_erasure(&user.id).await);
                return Ok(user);
            }
        }
    }
}

/// A password as it is stored, if the store's limits let it pass.
fn hashed(inner: &crate::store::Inner, password: &str) -> Result<String> {
    let (limits, salt) = (&inner.options.limits, inner.random()?);
    Ok(Password::hash_with(
        limits,
        PasswordCost::default(),
        password,
        salt,
    )?)
}
