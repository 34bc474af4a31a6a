//! The target types that a table may name: an open set.

use std::fmt;
use std::sync::{Arc, LazyLock};

use super::TargetType;
use super::crypt::CryptType;
use super::error::ErrorType;
use super::linear::LinearType;
use super::zero::ZeroType;

/// A registry of target types (the kernel's `dm_register_target`).
///
/// ```
/// use std::sync::Arc;
/// use udm_dm::table::Table;
/// use udm_dm::targets::TargetTypes;
/// use udm_dm::targets::zero::ZeroType;
///
/// let mut types = TargetTypes::default();
/// assert!(Table::parse_with(&types, "0 8 zero").is_err());
/// types.register(Arc::new(ZeroType));
/// assert!(Table::parse_with(&types, "0 8 zero").is_ok());
/// ```
#[derive(Clone, Default)]
pub struct TargetTypes(Vec<Arc<dyn TargetType>>);

static BUILTIN: LazyLock<TargetTypes> = LazyLock::new(|| {
    let mut types = TargetTypes::default();
    types.register(Arc::new(LinearType));
    types.register(Arc::new(ZeroType));
    types.register(Arc::new(ErrorType));
    types.register(Arc::new(CryptType));
    types
});

impl TargetTypes {
    /// The types of this crate. A program that has others adds them to a clone.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Adds a type. One of the same name that was there before is replaced.
    pub fn register(&mut self, added: Arc<dyn TargetType>) {
        match self.0.iter_mut().find(|known| known.name() == added.name()) {
            Some(known) => *known = added,
            None => self.0.push(added),
        }
    }

    /// The type of this name.
    pub fn find(&self, name: &str) -> Option<&dyn TargetType> {
        self.iter().find(|known| known.name() == name)
    }

    /// The types, in the order in which they were registered.
    pub fn iter(&self) -> impl Iterator<Item = &dyn TargetType> {
        self.0.iter().map(|known| &**known)
    }
}

impl fmt::Debug for TargetTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(TargetType::name)).finish()
    }
}
