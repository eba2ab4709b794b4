//! Keys that may not become an agent's environment, checked when they are written, never when they are delivered:
//! a bad key that is accepted and fails later is a trap, one that is dropped silently is a leak nobody sees.

use crate::name::SecretKey;

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRule {
    /// Stable name of the rule.
    pub name: &'static str,
    /// What it protects.
    pub why: &'static str,
}

/// Names that decide what code a process runs before its own first line.
const LOADER: [&str; 27] = [
    "PATH",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELL",
    "PROMPT_COMMAND",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PERL5LIB",
    "PERL5OPT",
    "RUBYLIB",
    "RUBYOPT",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    "GCONV_PATH",
    "LOCPATH",
    "HOSTALIASES",
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG_GLOBAL",
];
const LOADER_PREFIXES: [&str; 4] = ["LD_", "DYLD_", "GLIBC_", "BASH_FUNC_"];

/// Names the platform itself sets; a secret may not stand in for them.
const PLATFORM: [&str; 7] =
    ["WORKSPACE_ID", "WORKSPACE_NAME", "PLATFORM_URL", "MOLECULE_URL", "PLUGINS_DIR", "HOME", "TMPDIR"];
const PLATFORM_PREFIXES: [&str; 2] = ["PORTCULLIS_", "MOLECULE_OPERATOR_"];

/// Names that carry power over the platform. Refused wherever they come from.
const ADMIN: [&str; 9] = [
    "ADMIN_TOKEN",
    "MOLECULE_ADMIN_TOKEN",
    "CP_ADMIN_TOKEN",
    "CP_ADMIN_API_TOKEN",
    "CP_PROMOTE_PROD_API_TOKEN",
    "PROVISION_SHARED_SECRET",
    "MOLECULE_CP_SHARED_SECRET",
    "SECRETS_ENCRYPTION_KEY",
    "MOLECULE_TEMPLATE_REPO_TOKEN",
];

/// Tokens of repository hosts and infrastructure. Refused from organisation scope only: people may put their own token
/// into their own workspace, and refusing that broke them (R-44, 2026-05-20).
const FLEET: [&str; 19] = [
    "GITEA_TOKEN",
    "GITEA_PAT",
    "GITHUB_TOKEN",
    "GITHUB_PAT",
    "GH_TOKEN",
    "GITLAB_TOKEN",
    "GL_TOKEN",
    "BITBUCKET_TOKEN",
    "GHCR_PULL_TOKEN",
    "INFISICAL_OPERATOR_TOKEN",
    "INFISICAL_BOOTSTRAP_TOKEN",
    "INFISICAL_CLIENT_ID",
    "INFISICAL_CLIENT_SECRET",
    "RAILWAY_TOKEN",
    "RAILWAY_PERSONAL_API_TOKEN",
    "HETZNER_TOKEN",
    "HETZNER_API_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
];

/// The rule that refuses this key, if one does. `organisation` says whether it would be an organisation-wide default.
pub fn refused(key: &SecretKey, organisation: bool) -> Option<KeyRule> {
    let name = key.as_str();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if LOADER.contains(&name) || starts(&LOADER_PREFIXES) {
        Some(KeyRule { name: "loader_key", why: "it decides which code the agent's process runs" })
    } else if PLATFORM.contains(&name) || starts(&PLATFORM_PREFIXES) {
        Some(KeyRule { name: "platform_key", why: "the platform sets it itself" })
    } else if ADMIN.contains(&name) {
        Some(KeyRule { name: "admin_key", why: "it carries power over the platform" })
    } else if organisation && FLEET.contains(&name) {
        Some(KeyRule { name: "fleet_key", why: "every agent would hold it; set it on the workspace that needs it" })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(key: &str, organisation: bool) -> Option<&'static str> {
        refused(&key.parse().unwrap(), organisation).map(|rule| rule.name)
    }

    #[test]
    fn r_44_a_persons_own_repository_token_is_theirs_to_set_and_not_the_fleets() {
        assert_eq!(rule("GITHUB_TOKEN", true), Some("fleet_key"));
        assert_eq!(rule("GITHUB_TOKEN", false), None);
    }

    #[test]
    fn loader_platform_and_admin_keys_are_refused_everywhere() {
        for key in [
            "PATH",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "NODE_OPTIONS",
            "PORTCULLIS_ADMIN_TOKEN",
            "WORKSPACE_ID",
            "ADMIN_TOKEN",
        ] {
            assert!(rule(key, false).is_some() && rule(key, true).is_some(), "{key}");
        }
        assert_eq!(rule("OPENAI_API_KEY", true), None);
        assert_eq!(rule("PATHS", false), None);
    }
}
