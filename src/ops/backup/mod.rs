//! Backups: everything of a tenant at one moment, as a file or on its way to another tenant.
//!
//! A backup is logical: the versions of the packs, and the rows of their tables. Schemas are made by the files of our own
//! packs, never by anything that a backup says.

mod bucket;
mod file;
mod folder;
mod frames;
mod header;
mod inventory;
mod load;
mod piece;
mod restore;
mod save;
mod schedule;
mod store;
mod swap;
mod take;
mod undo;

pub use folder::{BackupName, KeptBackup, backup_list, backup_restore, backup_restore_as, backup_save, backup_try};
pub use header::Header;
pub use piece::{Pieces, Progress, Tell, Told, quiet};
pub use restore::{Restored, backup_header, tenant_restore, tenant_restore_as};
pub use schedule::{outdated_backups, scheduled_backups};
pub use take::{Saved, Verified, backup_verify, tenant_backup};
pub use undo::tenant_unrestore;

pub(super) use load::{Touch, enter, load};
pub(super) use piece::way;
pub(super) use save::{FORMS, LIMITS, read};
