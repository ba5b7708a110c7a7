//! Secrets: references to them, their values while they are needed, generated bundles and the placeholders that stand for them.
//!
//! Values live in memory only and every one of them is known to the [`crate::mask::Mask`].

pub mod bundle;
pub mod git;
pub mod reference;
pub mod secure_dir;
pub(crate) mod stored;
pub mod vault;

pub use reference::Reference;
pub use vault::Vault;
