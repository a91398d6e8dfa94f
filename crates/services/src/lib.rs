//! Which services come with quorate? Each is written over its public API alone, as a user would write it.
//!
//! - [`kv`]: keys and values, in a state that is large and still frozen in an instant.
//!
//! [`copy_on_write`] is what such a state is made of, for services of one's own.

pub mod copy_on_write;
pub mod kv;
