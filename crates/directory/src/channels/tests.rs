//! Rules of groups and chatrooms.
