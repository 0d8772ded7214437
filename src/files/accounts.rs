//! Users and groups of this machine.

use crate::config::Accounts;

/// The system's own user and group databases (getpwnam(3), getgrnam(3)), which may ask the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemAccounts;

impl Accounts for SystemAccounts {
    fn user(&self, name: &str) -> Option<u32> {
        // A NUL in a name would be cut off by the C library's side.
        let name = Some(name).filter(|name| !name.contains('\0'))?;
        uzers::get_user_by_name(name).map(|user| user.uid())
    }

    fn group(&self, name: &str) -> Option<u32> {
        let name = Some(name).filter(|name| !name.contains('\0'))?;
        uzers::get_group_by_name(name).map(|group| group.gid())
    }
}

/// The name of the user with this id, where it has one.
pub fn user_name(id: u32) -> Option<String> {
    uzers::get_user_by_uid(id).map(|user| user.name().to_string_lossy().into_owned())
}

/// The name of the group with this id, where it has one.
pub fn group_name(id: u32) -> Option<String> {
    uzers::get_group_by_gid(id).map(|group| group.name().to_string_lossy().into_owned())
}

/// Which of a file's permission bits count for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// Those of the owner.
    Owner,
    /// Those of the group.
    Group,
    /// Those of all others.
    Other,
}

/// Which permission bits of a file with this owner and group count for a user; none: there is no such user.
pub fn belongs(user: &str, owner: u32, group: u32) -> Option<Belonging> {
    let known = uzers::get_user_by_name(user)?;
    let groups = uzers::get_user_groups(user, known.primary_group_id()).unwrap_or_default();
    Some(if known.uid() == owner {
        Belonging::Owner
    } else if known.primary_group_id() == group || groups.iter().any(|own| own.gid() == group) {
        Belonging::Group
    } else {
        Belonging::Other
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nobody_else_is_made_up() {
        assert_eq!(SystemAccounts.user("root"), Some(0));
        assert_eq!(SystemAccounts.group("root"), Some(0));
        assert_eq!(SystemAccounts.user("no-such-user-here"), None);
        assert_eq!(SystemAccounts.group("a\0b"), None);
        assert_eq!(user_name(0).as_deref(), Some("root"));
    }
}
