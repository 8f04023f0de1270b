//! Who is connected: leases of users and devices, in memory.
//!
//! A lease that is not renewed ends by itself. Nothing of this is stored: whoever was connected when the process ended
//! connects again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;
use tidestore_disk::Millis;
use tidestore_plan::{CapKind, Caps, Limit, Limits, UserId};

use crate::error::{Error, Result};

/// Devices of one user at once: more is a program gone wild.
const DEVICES_MAX: usize = 32;
/// A device's name and status: enough for any client's own notation.
const NAME_MAX: usize = 128;

/// The leases of one app.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Leases>);

#[derive(Debug, Default)]
struct Leases {
    users: HashMap<UserId, BTreeMap<String, Lease>>,
    /// When leases end, soonest first: those that have ended leave before anybody is counted.
    ends: BTreeSet<(Millis, UserId, String)>,
}

/// A connected device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Since when it is connected.
    pub since: Millis,
    /// When it was last heard of.
    pub heard: Millis,
    /// When the lease ends if it is not renewed.
    pub until: Millis,
    /// What the user says he is, such as `1` for online; the service leaves the meaning to its clients.
    pub status: String,
    /// A note beside it.
    pub note: String,
}

impl Sessions {
    /// Connects a device, or renews its lease. Many devices of a user count as one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the plan allows no more users online,
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a 33rd device or a device without a fitting name.
    pub fn connect(
        &self,
        user: &UserId,
        device: &str,
        caps: &Caps,
        now: Millis,
        ttl: Millis,
    ) -> Result<()> {
        check_name("device", device)?;
        if device.is_empty() {
            return Err(Error::argument("the device has no name"));
        }
        let mut leases = self.0.lock();
        leases.end(now);
        let online = leases.users.len() as u64;
        match leases.users.get(user) {
            None => caps.check(CapKind::UsersOnline, online + 1)?,
            Some(devices) if devices.len() >= DEVICES_MAX && !devices.contains_key(device) => {
                let text = format!("{user} has {DEVICES_MAX} devices connected; disconnect one");
                return Err(Error::argument(text));
            }
            Some(_) => {}
        }
        let until = now.saturating_add(ttl);
        let devices = leases.users.entry(user.clone()).or_default();
        let lease = devices.entry(device.to_owned()).or_insert_with(|| Lease {
            since: now,
            heard: now,
            until,
            status: "1".to_owned(),
            note: String::new(),
        });
        let before = std::mem::replace(&mut lease.until, until);
        lease.heard = now;
        let place = |until| (until, user.clone(), device.to_owned());
        leases.ends.remove(&place(before));
        leases.ends.insert(place(until));
        Ok(())
    }

    /// Sets what a connected device shows of its user. One that is not connected shows nothing: answers `false`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the note is over 1,024 bytes,
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) if the status is over 128.
    pub fn set_status(
        &self,
        user: &UserId,
        device: &str,
        status: &str,
        note: &str,
        limits: &Limits,
        now: Millis,
    ) -> Result<bool> {
        limits.check_text(Limit::PresenceExtension, note)?;
        check_name("status", status)?;
        let mut leases = self.0.lock();
        leases.end(now);
        let devices = leases.users.get_mut(user);
        let Some(lease) = devices.and_then(|devices| devices.get_mut(device)) else {
            return Ok(false);
        };
        status.clone_into(&mut lease.status);
        note.clone_into(&mut lease.note);
        lease.heard = now;
        Ok(true)
    }

    /// Disconnects a device; says whether it was connected.
    pub fn disconnect(&self, user: &UserId, device: &str) -> bool {
        self.0.lock().remove(user, device)
    }

    /// Disconnects all devices of a user; says how many there were.
    pub fn disconnect_user(&self, user: &UserId) -> usize {
        let mut leases = self.0.lock();
        let devices = leases.users.remove(user).unwrap_or_default();
        for (device, lease) in &devices {
            let place = (lease.until, user.clone(), device.clone());
            leases.ends.remove(&place);
        }
        devices.len()
    }

    /// How many users are online at a time.
    pub fn online(&self, now: Millis) -> u64 {
        let mut leases = self.0.lock();
        leases.end(now);
        leases.users.len() as u64
    }

    /// Whether a user is online at a time.
    pub fn is_online(&self, user: &UserId, now: Millis) -> bool {
        let mut leases = self.0.lock();
        leases.end(now);
        leases.users.contains_key(user)
    }

    /// The connected devices of a user, by name.
    pub fn devices(&self, user: &UserId, now: Millis) -> BTreeMap<String, Lease> {
        let mut leases = self.0.lock();
        leases.end(now);
        leases.users.get(user).cloned().unwrap_or_default()
    }
}

impl Leases {
    /// Lets go of what has ended. Each lease is looked at once, when it ends.
    fn end(&mut self, now: Millis) {
        while let Some((until, user, device)) = self.ends.first().cloned() {
            if until > now {
                return;
            }
            self.remove(&user, &device);
        }
    }

    fn remove(&mut self, user: &UserId, device: &str) -> bool {
        let Some(devices) = self.users.get_mut(user) else {
            return false;
        };
        let removed = devices.remove(device);
        if devices.is_empty() {
            self.users.remove(user);
        }
        if let Some(lease) = &removed {
            let place = (lease.until, user.clone(), device.to_owned());
            self.ends.remove(&place);
        }
        removed.is_some()
    }
}

fn check_name(what: &str, name: &str) -> Result<()> {
    if name.len() > NAME_MAX {
        let actual = name.len();
        let text = format!("the {what} is {actual} bytes long; at most {NAME_MAX} are allowed");
        return Err(Error::argument(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidestore_plan::Plan;

    use super::*;

    fn caps(online: u64) -> Caps {
        Caps {
            users_online: Some(online),
            ..Plan::Enterprise.caps()
        }
    }

    fn user(n: usize) -> UserId {
        UserId::parse(&format!("u{n}")).unwrap()
    }

    #[test]
    fn the_last_place_is_taken_by_one_and_free_again_when_a_lease_ends() {
        let sessions = Sessions::default();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let sessions = &sessions;
                scope.spawn(move || drop(sessions.connect(&user(n), "phone", &caps(3), 0, 100)));
            }
        });
        assert_eq!(sessions.online(99), 3);
        assert!(
            sessions
                .connect(&user(9), "phone", &caps(3), 99, 100)
                .is_err()
        );
        sessions
            .connect(&user(9), "phone", &caps(3), 100, 100)
            .unwrap();
        assert_eq!(sessions.online(100), 1);
        assert_eq!(sessions.0.lock().ends.len(), 1);
    }

    #[test]
    fn devices_of_one_user_count_once_and_a_renewal_keeps_the_lease() {
        let (sessions, ann) = (Sessions::default(), user(0));
        for device in ["phone", "web", "phone"] {
            sessions.connect(&ann, device, &caps(1), 0, 50).unwrap();
        }
        sessions.connect(&ann, "web", &caps(1), 40, 50).unwrap();
        assert_eq!(sessions.devices(&ann, 49).len(), 2);
        let left = sessions.devices(&ann, 50);
        assert_eq!(left.keys().collect::<Vec<_>>(), ["web"]);
        assert_eq!((left["web"].since, left["web"].until), (0, 90));

        let limits = Limits::default();
        let note = "n".repeat(1_024);
        assert!(
            sessions
                .set_status(&ann, "web", "2", &note, &limits, 50)
                .unwrap()
        );
        assert!(
            !sessions
                .set_status(&ann, "phone", "2", "", &limits, 50)
                .unwrap()
        );
        let long = "n".repeat(1_025);
        assert!(
            sessions
                .set_status(&ann, "web", "2", &long, &limits, 50)
                .is_err()
        );
        assert_eq!(sessions.devices(&ann, 51)["web"].note, note);
        assert_eq!(sessions.disconnect_user(&ann), 1);
        assert!(!sessions.is_online(&ann, 51));
        assert!(sessions.0.lock().ends.is_empty());
        for n in 0..32 {
            sessions
                .connect(&ann, &n.to_string(), &caps(1), 0, 50)
                .unwrap();
        }
        assert!(sessions.connect(&ann, "one more", &caps(1), 0, 50).is_err());
    }
}
