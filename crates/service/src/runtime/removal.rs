//! Removing what agents leave, who may have nested directories deeper than a stack or a path is long.
//!
//! Not `std::fs::remove_dir_all`, which calls itself for every level and holds a descriptor for each; and not `rm`, since
//! the server starts no programs of the machine. Instead the tree is flattened: what is in a directory of the root is
//! unlinked, or, if it is a directory, moved up into the root. So each directory is moved once at most, the stack does not
//! grow, few descriptors are held, and no path is longer than one name. No link is followed: directories are opened as
//! directories, by name, beneath a descriptor.

use std::{
    ffi::{CStr, CString},
    fs::{self, Permissions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, open, openat, renameat},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, unlinkat},
};

/// Begins the name a directory is moved to.
const MOVED: &str = ".portcullis-removed-";

/// How often the root is read again without any progress: something still writes there.
const IDLE_PASSES_MAX: u32 = 16;

/// Removes a file or a directory with everything in it. One that is not there is fine. It does not hurry: call it where
/// blocking is allowed. A second removal of the same tree at the same time is fine too.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let root =
        match open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(root) => entered(root)?,
            // A link or a file in the place of a directory; the link goes, and not what it names.
            Err(Errno::ENOTDIR | Errno::ELOOP) => return gone_is_fine(fs::remove_file(path)),
            Err(error) => return gone_is_fine(Err(error.into())),
        };
    let (mut moved, mut idle) = (0_u64, 0);
    loop {
        let mut progress = false;
        let mut empty = true;
        for name in names(root.as_fd())? {
            let name = name?;
            empty = false;
            if !unlinked(root.as_fd(), &name)? {
                progress |= flatten(root.as_fd(), &name, &mut moved)?;
            } else {
                progress = true;
            }
        }
        if empty {
            break;
        }
        idle = if progress { 0 } else { idle + 1 };
        if idle > IDLE_PASSES_MAX {
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "something still writes into the directory"));
        }
    }
    gone_is_fine(fs::remove_dir(path))
}

/// Empties a directory of the root into the root and removes it; whether anything changed.
fn flatten(root: BorrowedFd<'_>, name: &CStr, moved: &mut u64) -> io::Result<bool> {
    let Some(directory) = enter(root, name)? else { return Ok(true) };
    let mut progress = false;
    for name in names(directory.as_fd())? {
        let name = name?;
        if !unlinked(directory.as_fd(), &name)? {
            // Its own permissions decide whether it may be moved.
            drop(enter(directory.as_fd(), &name)?);
            move_up(directory.as_fd(), &name, root, moved)?;
        }
        progress = true;
    }
    match unlinkat(root, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        // Reading a directory that changes may leave something out; the next pass finds it.
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(progress),
        Err(error) => Err(error.into()),
    }
}

/// Moves a directory to a free name of the root.
fn move_up(from: BorrowedFd<'_>, name: &CStr, root: BorrowedFd<'_>, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let free = CString::new(format!("{MOVED}{moved}"))?;
        match renameat(from, name, root, free.as_c_str()) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            // An agent may have thought of the name.
            Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes what is no directory; `false` for one that is.
fn unlinked(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(Errno::EISDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory in a directory; `None` if it is gone.
fn enter(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<OwnedFd>> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(directory, name, flags, Mode::empty()) {
        Ok(found) => entered(found).map(Some),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A descriptor to work with, of a directory whose owner may have shut itself out.
fn entered(path: OwnedFd) -> io::Result<OwnedFd> {
    // Through the descriptor, so no name is looked up again. Where it fails, what follows says why.
    let _ = fs::set_permissions(format!("/proc/self/fd/{}", path.as_raw_fd()), Permissions::from_mode(0o700));
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(openat(&path, c".", flags, Mode::empty())?)
}

/// The names in a directory, one after the other.
fn names(directory: BorrowedFd<'_>) -> io::Result<impl Iterator<Item = io::Result<CString>>> {
    let listed = Dir::openat(directory, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let names = listed.into_iter().map(|entry| Ok(entry?.file_name().to_owned()));
    Ok(names.filter(|name| !name.as_ref().is_ok_and(|name| matches!(name.to_bytes(), b"." | b".."))))
}

fn gone_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use nix::sys::stat::mkdirat;

    use super::*;

    /// Deeper than a path is long and than a stack is deep.
    const LEVELS: usize = 20_000;

    fn place(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("portcullis-removal-{name}-{}", std::process::id()));
        fs::create_dir(&place).expect("a directory");
        place
    }

    #[test]
    fn a_tree_that_is_deeper_than_a_stack_is_removed() {
        let place = place("deep");
        let mut at = open(&place, OFlag::O_DIRECTORY, Mode::empty()).expect("a directory");
        for _ in 0..LEVELS {
            mkdirat(&at, c"d", Mode::S_IRWXU).expect("a directory");
            drop(openat(&at, c"f", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRUSR).expect("a file"));
            at = openat(&at, c"d", OFlag::O_DIRECTORY, Mode::empty()).expect("a directory");
        }
        drop(at);
        // A stack on which nothing may call itself often.
        let small = std::thread::Builder::new().stack_size(128 << 10);
        let removed = small.spawn({
            let place = place.clone();
            move || remove_tree(&place)
        });
        removed.expect("a thread").join().expect("no overflow").expect("it is removed");
        assert!(!place.exists());
        remove_tree(&place).expect("one that is gone is fine");
    }

    #[test]
    fn links_are_removed_and_not_followed_and_nobody_shuts_themselves_in() {
        let (place, outside) = (place("links"), place("outside"));
        fs::write(outside.join("stays"), "x").expect("a file");
        let locked = place.join("a/b/locked");
        fs::create_dir_all(locked.join("more/and more")).expect("directories");
        for at in ["link", "a/link", "a/b/locked/more/link"] {
            std::os::unix::fs::symlink(&outside, place.join(at)).expect("a link");
        }
        // A name that a directory may be moved to.
        fs::create_dir_all(place.join(format!("{MOVED}1/x"))).expect("directories");
        fs::write(place.join(format!("{MOVED}2")), "").expect("a file");
        fs::set_permissions(locked.join("more"), Permissions::from_mode(0o0)).expect("closed");
        fs::set_permissions(&locked, Permissions::from_mode(0o0)).expect("closed");
        remove_tree(&place).expect("it is removed");
        assert!(!place.exists());
        let link = std::env::temp_dir().join(format!("portcullis-removal-link-{}", std::process::id()));
        std::os::unix::fs::symlink(&outside, &link).expect("a link");
        remove_tree(&link).expect("the link is removed");
        assert!(link.symlink_metadata().is_err());
        assert!(outside.join("stays").exists());
        remove_tree(&outside).expect("it is removed");
    }
}
