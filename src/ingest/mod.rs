//! Objects into the lake: notifications, folders and listings in, commits out.

pub mod notification;
