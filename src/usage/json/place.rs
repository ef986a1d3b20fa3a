//! Where in a document a value is, for people.

use super::path_table::{self, NodeId};
use super::scanner::Scanner;

impl Scanner {
    /// The path of the value at hand, made of known keys: `choices[].error`.
    #[cold]
    #[inline(never)]
    pub(super) fn value_path(&self) -> String {
        self.path(Some(self.node))
    }

    /// The path of the innermost open object.
    #[cold]
    #[inline(never)]
    pub(super) fn object_path(&self) -> String {
        self.path(None)
    }

    fn path(&self, value: Option<NodeId>) -> String {
        let mut path = String::new();
        let mut in_array = None;
        for (node, is_array) in self.containers().chain(value.map(|node| (node, false))) {
            match in_array {
                // The root has no key.
                None => {}
                Some(true) => path.push_str("[]"),
                Some(false) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(path_table::key(node));
                }
            }
            in_array = Some(is_array);
        }
        path
    }
}
