//! Writes the generated pages of the manual into `docs/`.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use red_tests::pages::{OWNED, pages, root};

fn main() -> io::Result<()> {
    let pages = pages()?;
    let root = root();
    let kept: BTreeSet<_> = pages.keys().map(|page| root.join(page)).collect();
    for dir in OWNED {
        fs::create_dir_all(root.join(dir))?;
        for entry in fs::read_dir(root.join(dir))? {
            let path = entry?.path();
            if !kept.contains(&path) {
                fs::remove_file(path)?;
            }
        }
    }
    for (page, text) in &pages {
        let path = root.join(page);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}
