//! The reference of the command line: commands and flags, from clap. The flags for tests are left out.

use athena_session_operator::config::Cli;
use clap::builder::StyledStr;
use clap::{Arg, ArgAction, CommandFactory};

use super::{escaped, keep, table};

#[test]
fn the_reference_of_the_settings_is_up_to_date() {
    let mut command = Cli::command();
    command.build();
    let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
    let commands = commands.map(|command| {
        let about = command.get_about().map(StyledStr::to_string).unwrap_or_default();
        [format!("`athena-session-operator {}`", command.get_name()), about]
    });
    let commands = table(["command", "what it does"], commands);
    let run = command.find_subcommand("run").expect("there is a command run");
    let flags = run.get_arguments().filter(|flag| flag.get_env().is_some() && !flag.is_hide_set());
    let flags = table(["flag", "environment variable", "default", "meaning"], flags.map(row));
    keep("settings.md", &[("commands", commands), ("flags", flags)]);
}

fn row(flag: &Arg) -> [String; 4] {
    const DEFAULT: &str = " [default: ";
    let is_switch = matches!(flag.get_action(), ArgAction::SetTrue);
    let name = format!("--{}", flag.get_long().expect("a long name"));
    let value = flag.get_value_names().map(|names| format!("={}", names[0])).unwrap_or_default();
    let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
    let help = flag.get_help().map(StyledStr::to_string).unwrap_or_default();
    let (meaning, said) = help.split_once(DEFAULT).unwrap_or((&help, ""));
    let defaults: Vec<_> = flag.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    let default = if is_switch {
        "`false`".to_owned()
    } else if said.is_empty() {
        defaults.join(", ")
    } else {
        said.trim_end_matches(']').to_owned()
    };
    let mut meaning = escaped(meaning);
    if !is_switch {
        for word in flag.get_possible_values().iter().filter(|word| !word.is_hide_set()) {
            let help = word.get_help().map(StyledStr::to_string).unwrap_or_default();
            meaning += &format!(". `{}`: {}", word.get_name(), escaped(help.trim_end_matches('.')));
        }
    }
    let name = if is_switch { name } else { name + &value };
    [format!("`{name}`"), format!("`{variable}`"), default, meaning]
}
