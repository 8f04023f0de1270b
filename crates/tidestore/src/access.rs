//! Credentials of an app: what its server shows to be let in, and the key that tokens are signed with.

use data_encoding::BASE64URL_NOPAD;
use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, row};
use tidestore_messages::AppId;

use crate::app::App;
use crate::error::Result;
use crate::store::{Inner, blocking};
use crate::tables::CREDENTIALS;

/// What an app shows to be let in. Shown once, when it is issued: the store keeps only a hash of the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Which credentials they are; no secret.
    pub client_id: String,
    /// The secret: 32 random bytes, base64url.
    pub client_secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// The value of `CREDENTIALS`.
#[derive(Clone, bincode::Encode, bincode::Decode)]
pub(crate) struct CredentialsRow {
    client_id: String,
    /// blake3 of the secret's text. That is random, so nobody can try all there are, and no slow hash is needed.
    secret_hash: [u8; 32],
    signing_key: [u8; 32],
    issued: Millis,
}

impl std::fmt::Debug for CredentialsRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialsRow")
            .field("client_id", &self.client_id)
            .field("issued", &self.issued)
            .finish_non_exhaustive()
    }
}

/// Characters of 32 bytes in base64url.
const SECRET_CHARACTERS: usize = 43;

fn key_of(app: AppId) -> Key {
    Key::starting_with(app.0)
}

/// What was last issued to an app.
pub(crate) fn credentials(
    rows: &(impl Rows + ?Sized),
    app: AppId,
) -> Result<Option<CredentialsRow>> {
    Ok(row(rows, CREDENTIALS, key_of(app).bytes())?)
}

impl CredentialsRow {
    /// Whether these are its credentials. How much of a wrong secret is right does not show in how long it takes.
    fn is(&self, client_id: &str, secret: &str) -> bool {
        // What is longer is wrong, and is not hashed however long it is.
        if secret.len() != SECRET_CHARACTERS {
            return false;
        }
        // Hashes of blake3 are compared in constant time.
        let is_right = blake3::hash(secret.as_bytes()) == blake3::Hash::from(self.secret_hash);
        is_right && client_id == self.client_id
    }

    fn draw(inner: &Inner, now: Millis) -> Result<(Self, Credentials)> {
        let client_id = BASE64URL_NOPAD.encode(&inner.random::<16>()?);
        let client_secret = BASE64URL_NOPAD.encode(&inner.random::<32>()?);
        let row = Self {
            client_id: client_id.clone(),
            secret_hash: blake3::hash(client_secret.as_bytes()).into(),
            signing_key: inner.random()?,
            issued: now,
        };
        let credentials = Credentials {
            client_id,
            client_secret,
        };
        Ok((row, credentials))
    }
}

impl App {
    /// Issues credentials, and a new key for signing tokens. Those that were issued before are worth nothing any more, and
    /// neither are tokens that were signed with the key before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`](crate::ErrorKind::UnknownApp) if the app was deleted; what the disk reports.
    pub async fn issue_credentials(&self) -> Result<Credentials> {
        let (inner, now) = (std::sync::Arc::clone(&self.store().inner), self.now());
        let drawn = blocking(move || CredentialsRow::draw(&inner, now));
        let (row, credentials) = drawn.await?;
        self.change(move |rows, scope| Ok(rows.put(CREDENTIALS, key_of(scope.app), &row)?))
            .await?;
        Ok(credentials)
    }

    /// Whether these are the credentials that were issued last. Never true for an app without.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`](crate::ErrorKind::UnknownApp) if the app was deleted; what the tables report.
    pub async fn check_credentials(&self, client_id: &str, client_secret: &str) -> Result<bool> {
        let found = self.credentials().await?;
        Ok(found.is_some_and(|row| row.is(client_id, client_secret)))
    }

    /// The key that the app's tokens are signed with; `None` before credentials were issued.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`](crate::ErrorKind::UnknownApp) if the app was deleted; what the tables report.
    pub async fn signing_key(&self) -> Result<Option<[u8; 32]>> {
        Ok(self.credentials().await?.map(|row| row.signing_key))
    }

    async fn credentials(&self) -> Result<Option<CredentialsRow>> {
        self.read(|reader| credentials(&*reader.home.engine, reader.app))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, CredentialsRow};

    #[test]
    fn secrets_are_not_printed() {
        let row = CredentialsRow {
            client_id: "who".to_owned(),
            secret_hash: [77; 32],
            signing_key: [78; 32],
            issued: 5,
        };
        let text = format!("{row:?}");
        assert!(text.contains("who") && !text.contains("77") && !text.contains("78"));
        let credentials = Credentials {
            client_id: "who".to_owned(),
            client_secret: "nobody knows".to_owned(),
        };
        let text = format!("{credentials:?}");
        assert!(text.contains("who") && !text.contains("nobody"));
    }

    #[test]
    fn a_secret_is_right_as_a_whole_or_not_at_all() {
        let secret = "s".repeat(super::SECRET_CHARACTERS);
        let row = CredentialsRow {
            client_id: "who".to_owned(),
            secret_hash: blake3::hash(secret.as_bytes()).into(),
            signing_key: [0; 32],
            issued: 5,
        };
        assert!(row.is("who", &secret));
        assert!(!row.is("Who", &secret) && !row.is("", &secret));
        for wrong in [
            "",
            &secret[1..],
            &format!("{secret}s"),
            &secret.replacen('s', "t", 1),
        ] {
            assert!(!row.is("who", wrong), "{wrong}");
        }
    }
}
