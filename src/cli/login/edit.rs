//! One login's line of a map, changed; everything else is left as it is.

/// What becomes of a login's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These are added.
    Allow(Vec<String>),
    /// These are taken out; all, if none is named.
    Forbid(Vec<String>),
}

/// What is to be taken out is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{author} is not listed for {login}; listed are: {listed}")]
pub(super) struct Unlisted {
    /// The login.
    pub login: String,
    /// What is not there.
    pub author: String,
    /// What is.
    pub listed: String,
}

/// The map with a login's line changed, made or taken out.
pub(super) fn edited(text: &str, login: &str, change: &Change) -> Result<String, Unlisted> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_its =
        |line: &String| line.split_ascii_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case(login));
    let place = lines.iter().position(is_its);
    let (mut authors, comment) = place.map_or_else(Default::default, |place| parts(&lines[place]));
    match change {
        Change::Allow(more) => {
            for author in more {
                if authors.iter().all(|known| !is_same(known, author)) {
                    authors.push(author.clone());
                }
            }
        }
        Change::Forbid(less) if less.is_empty() => authors.clear(),
        Change::Forbid(less) => {
            for author in less {
                let Some(place) = authors.iter().position(|known| is_same(known, author)) else {
                    let (login, author) = (login.to_owned(), author.clone());
                    return Err(Unlisted { login, author, listed: authors.join(" ") });
                };
                authors.remove(place);
            }
        }
    }
    let line = format!("{login}  {}{comment}", authors.join(" "));
    match place {
        Some(place) if authors.is_empty() => {
            lines.remove(place);
        }
        Some(place) => lines[place] = line,
        None if authors.is_empty() => {}
        None => lines.push(line),
    }
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

/// The authors of a line as written, and its comment with the blanks before it.
fn parts(line: &str) -> (Vec<String>, String) {
    let mut words = line.split_ascii_whitespace().skip(1);
    let authors = words
        .by_ref()
        .take_while(|word| !word.starts_with('#'))
        .flat_map(|word| word.split(','))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    // A comment begins a word.
    let begins = line.match_indices('#').map(|(at, _)| at).find(|at| line[..*at].ends_with([' ', '\t']));
    (authors, begins.map(|at| format!("  {}", &line[at..])).unwrap_or_default())
}

/// Whether two patterns are the same, however they are written.
fn is_same(one: &str, other: &str) -> bool {
    let parsed = |text: &str| text.parse::<crate::policy::AddressPattern>().ok();
    parsed(one).is_some_and(|one| parsed(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "# who may what\njoe@example.com   example.net,*.example.net  # since May\n\nann ann@example.com\n$include more.map\n";

    fn allow(authors: &[&str]) -> Change {
        Change::Allow(authors.iter().map(|author| (*author).to_owned()).collect())
    }

    fn forbid(authors: &[&str]) -> Change {
        Change::Forbid(authors.iter().map(|author| (*author).to_owned()).collect())
    }

    #[test]
    fn a_line_is_changed_and_nothing_else() {
        let more = edited(MAP, "JOE@example.com", &allow(&["example.org", "EXAMPLE.net"])).unwrap();
        let line = "JOE@example.com  example.net *.example.net example.org  # since May";
        assert_eq!(more, MAP.replace("joe@example.com   example.net,*.example.net  # since May", line));
        let fewer = edited(MAP, "joe@example.com", &forbid(&["*.EXAMPLE.net"])).unwrap();
        assert!(fewer.contains("joe@example.com  example.net  # since May\n"), "{fewer}");
    }

    #[test]
    fn a_line_comes_with_the_first_author_and_goes_with_the_last() {
        let new = edited(MAP, "bob", &allow(&["example.com"])).unwrap();
        assert_eq!(new, format!("{MAP}bob  example.com\n"));
        assert_eq!(edited(&new, "bob", &forbid(&[])).unwrap(), MAP);
        assert_eq!(edited(&new, "bob", &forbid(&["example.com"])).unwrap(), MAP);
        assert_eq!(edited("x y.example", "bob", &allow(&["z.example"])).unwrap(), "x y.example\nbob  z.example\n");
    }

    #[test]
    fn what_is_not_listed_is_named() {
        let error = edited(MAP, "ann", &forbid(&["bob@example.com"])).unwrap_err();
        assert_eq!(error.to_string(), "bob@example.com is not listed for ann; listed are: ann@example.com");
    }
}
