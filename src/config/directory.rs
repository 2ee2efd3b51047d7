//! The data directory. The database and the signing secret are in it, so nobody but its owner opens it.

use std::path::Path;

/// Makes the directory, and those above it, when it is not there. One that is there stays as it is: who may open it was
/// decided by whoever made it.
///
/// # Errors
/// What the system answers.
pub fn make_data_dir(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_made_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let made = dir.path().join("a/data");
        make_data_dir(&made).unwrap();
        assert_eq!((mode(&made), mode(&dir.path().join("a"))), (0o700, 0o700));
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o750)).unwrap();
        make_data_dir(&made).unwrap();
        assert_eq!(mode(&made), 0o750);
    }
}
