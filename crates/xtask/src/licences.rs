//! Every dependency may be used under a permissive licence.

/// Licences that ask for no more than attribution.
const PERMISSIVE: [&str; 16] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // The Independent JPEG Group's: attribution only.
    "IJG",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
    "NCSA",
    "Apache-2.0 WITH LLVM-exception",
];

/// Checks the SPDX expression of every package in the graph.
pub(crate) fn check() -> Result<String, Vec<String>> {
    let metadata = super::metadata()?;
    let mut problems = Vec::new();
    for package in &metadata.packages {
        let expression = package.license.clone().unwrap_or_default();
        if !allowed(&expression) {
            problems.push(format!(
                "{} {}: licence '{expression}' is not permissive",
                package.name, package.version
            ));
        }
    }
    if problems.is_empty() {
        Ok(format!(
            "licences: {} packages, all permissive",
            metadata.packages.len()
        ))
    } else {
        Err(problems)
    }
}

/// Evaluates an SPDX expression of AND, OR and parentheses. The old form
/// `A/B` means `A OR B`.
fn allowed(expression: &str) -> bool {
    let text = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<&str> = text.split_whitespace().collect();
    let mut position = 0;
    let value = any(&tokens, &mut position);
    value == Some(true) && position == tokens.len()
}

fn any(tokens: &[&str], position: &mut usize) -> Option<bool> {
    let mut value = all(tokens, position)?;
    while tokens.get(*position) == Some(&"OR") {
        *position += 1;
        value |= all(tokens, position)?;
    }
    Some(value)
}

fn all(tokens: &[&str], position: &mut usize) -> Option<bool> {
    let mut value = one(tokens, position)?;
    while tokens.get(*position) == Some(&"AND") {
        *position += 1;
        value &= one(tokens, position)?;
    }
    Some(value)
}

fn one(tokens: &[&str], position: &mut usize) -> Option<bool> {
    let token = *tokens.get(*position)?;
    *position += 1;
    if token == "(" {
        let value = any(tokens, position)?;
        let closed = tokens.get(*position) == Some(&")");
        *position += 1;
        return closed.then_some(value);
    }
    if tokens.get(*position) == Some(&"WITH") {
        let exception = tokens.get(*position + 1)?;
        *position += 2;
        return Some(PERMISSIVE.contains(&format!("{token} WITH {exception}").as_str()));
    }
    Some(PERMISSIVE.contains(&token))
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "MIT OR GPL-3.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND LGPL-2.1",
            "MPL-2.0",
            "(MIT",
            "MIT OR",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
