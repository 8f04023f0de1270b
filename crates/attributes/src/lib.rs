//! Capped key-value stores for users and chatrooms.
