//! The console's files: the same for everybody, kept for ever under a name that changes with them, and a page that may do
//! nothing but load and ask its own origin.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use portcullis_authority::Config;
use world::each_engine;

/// Most that the first view may take on its way, in bytes.
const FIRST_VIEW_BYTES_MAX: usize = 200_000;

/// The addresses of a page's own files.
fn assets(page: &str) -> Vec<String> {
    let after = page.split("=\"/console/assets/").skip(1);
    after.map(|rest| format!("/console/assets/{}", rest.split('"').next().expect("an end"))).collect()
}

#[test]
fn every_page_is_one_document_whose_policy_forbids_what_it_does_not_need() {
    each_engine(Config::default(), async |world| {
        let nobody = world.nobody();
        let page = nobody.get("/console").await;
        for path in ["/console/approvals", "/console/workspaces/x/chat?a=b", "/claim", "/invite"] {
            assert_eq!(nobody.get(path).await.status(200).text, page.text, "{path}");
        }
        let policy = page.status(200).headers["content-security-policy"].to_str().expect("text");
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(policy.contains("require-trusted-types-for 'script'; trusted-types 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(page.headers["cache-control"], "no-store");
        // Nothing in it is script or style, and nothing comes from elsewhere.
        assert!(
            !page.text.contains("://")
                && !page.text.contains("<style")
                && !page.text.contains(" onload=")
                && !page.text.contains("style="),
            "{}",
            page.text
        );
        world
    });
}

#[test]
fn files_are_packed_kept_for_ever_and_only_under_their_own_name() {
    each_engine(Config::default(), async |world| {
        let nobody = world.nobody();
        let page = nobody.get("/console").await;
        let files = assets(&page.status(200).text);
        assert!(files.len() > 20, "{files:?}");
        let mut bytes = page.text.len();
        for path in &files {
            let plain = nobody.get(path).await;
            assert_eq!(plain.status(200).headers["cache-control"], "public, max-age=31536000, immutable", "{path}");
            assert_eq!(plain.headers["x-content-type-options"], "nosniff");
            let response = nobody.with("accept-encoding", "gzip, br").open(path).await;
            let packed = response.headers().contains_key("content-encoding");
            let sent = response.bytes().await.expect("a body").len();
            assert!(!packed || sent < plain.text.len(), "{path}");
            bytes += sent;
        }
        assert!(bytes <= FIRST_VIEW_BYTES_MAX, "the first view takes {bytes} bytes");
        let (place, _) = files[0].split_once("/assets/").expect("a place");
        nobody.get(&format!("{place}/assets/0123456789ab/main.js")).await.refused(404, "NOT_FOUND");
        let build = files[0].split('/').nth(3).expect("a build");
        for name in ["vendor/README.md", "..%2fCargo.toml", "index.html", "main.js.map"] {
            nobody.get(&format!("/console/assets/{build}/{name}")).await.refused(404, "NOT_FOUND");
        }
        world
    });
}
