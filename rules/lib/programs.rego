# What package code ran: programs, and the commands inside shell texts and behind
# other programs.
package pip_witness.lib.programs # regal ignore:file-length

import data.pip_witness.indicators.programs as table
import data.pip_witness.lib.process

import rego.v1

# commands are what package-controlled processes ran or tried to run:
#
#   index      position of the process in input.processes
#   pid, role  of that process; who names it in a message
#   program    path of the program that was run; "" when only the text of a shell names it
#   base       name by which it counts: the last element of its path, for a program of
#              many names the one that it was called by
#   classes    what it is, see indicators/programs.yaml; a renamed copy of an
#              interpreter is the interpreter
#   args       its arguments, without its own name
#   line       base and arguments, joined by spaces
#   failed     true for an attempt that the kernel refused
#   source     "exec", "wrapper" (named by the arguments of another program: env, sudo,
#              timeout …) or "shell" (in a text that a shell was given)
#   time       of the exec
#
# What the trusted installer or the harness started is not the package's choice and left out.
commands contains command if {
	some run in _runs
	command := object.union(_common(run), {
		"program": run.program,
		"base": run.base,
		"classes": run.classes,
		"args": run.args,
		"line": concat(" ", array.concat([run.base], run.args)),
		"source": "exec",
	})
}

commands contains command if {
	some run in _runs
	some words in _wrapped(run)
	command := object.union(_common(run), _named(words, "wrapper"))
}

commands contains command if {
	some run in _runs
	some shell_text in _texts_of(run)
	some pipeline in _parsed[shell_text]
	some words in pipeline
	command := object.union(_common(run), _named(words, "shell"))
}

# pipelines are the pipelines of two or more commands in shell texts: index, role,
# who, failed and time as in commands, and stages, each with base, classes, args and line.
pipelines contains pipeline if {
	some run in _runs
	some shell_text in _texts_of(run)
	some parts in _parsed[shell_text]
	count(parts) > 1
	pipeline := object.union(_common(run), {"stages": [_named(words, "shell") | some words in parts]})
}

# texts are the shell texts that package code ran, with the texts inside them.
texts contains object.union(_common(run), {"text": shell_text}) if {
	some run in _runs
	some shell_text in _texts_of(run)
}

# code(command) is the program text among the arguments of an interpreter.
code(command) := command.args[at + 1] if {
	at := _code_option(command)
}

# reads_input(command) is true for an interpreter that reads its program from
# standard input.
reads_input(command) if {
	_interprets(command.classes)
	not _code_option(command)
	not script(command)
	not _informs(command)
}

# script(command) is the file that an interpreter or a loader was started on, as it
# was named.
script(command) := operands[0] if {
	_interprets(command.classes)
	not _code_option(command)
	not _module(command)
	operands := [word |
		some i, word in command.args
		not regex.match(`^[-+]`, word)
		not _element(command.args, i - 1) in {"-W", "-X", "-o", "-O", "+O", "--rcfile", "--init-file"}
	]
	count(operands) > 0
}

script(command) := operands[0] if {
	"loader" in command.classes
	operands := [word | some word in command.args; not startswith(word, "-")]
	count(operands) > 0
}

# interpreter(command) is true for interpreters of every kind.
interpreter(command) if _interprets(command.classes)

# classes_of(name) are the classes of a base name.
classes_of(name) := {class |
	some class, entry in table.classes
	name in object.get(entry, "names", [])
} | {class |
	some class, entry in table.classes
	some pattern in object.get(entry, "patterns", [])
	regex.match(pattern, name)
}

# named(class) are the names of a class.
named(class) := {name | some name in table.classes[class].names}

_interprets(classes) if {
	some class in table.interpreters.classes
	class in classes
}

_module(command) if {
	"python" in command.classes
	some word in command.args
	regex.match(`^-[A-Za-z]*m`, word)
}

_informs(command) if {
	some word in command.args
	word in {"--version", "-V", "-VV", "--help", "-h", "-v"}
}

_informs(command) if _module(command)

# The position of the option after which the program text stands.
_code_option(command) := min(positions) if {
	_interprets(command.classes)
	positions := {i |
		some i, word in command.args
		regex.match(_code_options[_option_style(command.classes)], word)
	}
	count(positions) > 0
	count(command.args) > min(positions) + 1
	every word in array.slice(command.args, 0, min(positions)) {
		regex.match(`^[-+]|^[A-Za-z]+$|^[0-9]`, word)
	}
}

_code_options := {
	"shell": `^-[A-Za-z]*c[A-Za-z]*$`,
	"python": `^-[A-Za-z]*c$`,
	"powershell": `(?i)^[-/](c|command|e|ec|en|enc|enco[a-z]*)$`,
	"php": `^-r$`,
	"other": `^(-[A-Za-z]*[eE]|-p|--eval|--print|eval)$`,
}

_option_style(classes) := "shell" if "shell" in classes

_option_style(classes) := "python" if "python" in classes

_option_style(classes) := "powershell" if "powershell" in classes

_option_style(classes) := "php" if "php" in classes

_option_style(classes) := "other" if count(classes & {"shell", "python", "powershell", "php"}) == 0

# One record an exec that package code chose.
_runs contains run if {
	some i in process.controlled
	proc := input.processes[i]
	pid := object.get(proc, "processid", 0)
	role := process.role(proc)
	some order, e in _attempts[i]
	not _trusted_start(i, order)
	name := _base(e)
	run := {
		"index": i,
		"pid": pid,
		"role": role,
		"who": process.names[i],
		"program": e.program,
		"base": name,
		"classes": _classes(e, name),
		"args": _arguments(e, name),
		"failed": object.get(e, "errno", "") != "",
		"time": object.get(e, "timestamp", object.get(proc, "starttime", "")),
	}
}

_common(run) := object.filter(run, {"index", "pid", "role", "who", "failed", "time"})

# Of a search along PATH only the last attempt counts. Evidence of other tools has the
# last image only.
_attempts[i] := [e |
	some order, e in execs
	not _searched_on(execs, order)
	is_string(e.program)
	is_array(e.argv)
	count([1 | some word in e.argv; not is_string(word)]) == 0
] if {
	some i, proc in input.processes
	execs := proc.execs
	is_array(execs)
	count(execs) > 0
}

_attempts[i] := [{"program": image.program, "argv": image.args} | some image in process.images(proc)] if {
	some i, proc in input.processes
	is_string(proc.program)
	object.get(proc, "execs", []) == []
}

_searched_on(execs, order) if {
	is_object(execs[order])
	object.get(execs[order], "errno", "") != ""
	execs[order].argv == execs[order + 1].argv
}

# The first program of a process that the trusted side started, and that is none of
# what the run could write, is the trusted side's choice: the command itself, the hook
# runner of a build, each interpreter of the harness.
_given contains 0

_given contains i if {
	some i, proc in input.processes
	proc.parentpid == 0
}

_given contains i if {
	some i, above in process.parents
	process.role(input.processes[above]) == "installer"
	process.role(input.processes[i]) != "package-code"
	not _attempts[i][0].program in _soft
}

_given contains i if {
	some i, attempts in _attempts
	process.role(input.processes[i]) == "import-harness"
	count(attempts) == 1
}

_trusted_start(i, 0) if i in _given

_base(e) := name if {
	name := process.base(e.program)
	not _multicall(name)
}

_base(e) := called if {
	_multicall(process.base(e.program))
	called := process.base(_element(e.argv, 0))
	not _multicall(called)
}

_base(e) := applet if {
	_multicall(process.base(e.program))
	_multicall(process.base(_element(e.argv, 0)))
	applet := [word |
		some word in [process.base(_element(e.argv, 1)), process.base(e.program)]
		word != ""
	][0]
}

_multicall(name) if name in table.classes.multicall.names

_arguments(e, name) := array.slice(e.argv, first, count(e.argv)) if first := _first_argument(e, name)

_first_argument(e, name) := 2 if {
	_multicall(process.base(_element(e.argv, 0)))
	not _multicall(name)
}

_first_argument(e, _) := 1 if not _multicall(process.base(_element(e.argv, 0)))

_first_argument(_, name) := 1 if _multicall(name)

_classes(e, name) := _known_classes[name] | {class | class := _copied[e.digest.sha256]}

_known_classes[name] := classes_of(name) if some name in _names

_names contains name if {
	some attempts in _attempts
	some e in attempts
	some name in {_base(e), process.base(e.program)}
}

# What an interpreter's content is called, by digest: from every interpreter that was
# run from a place that the run could not write, or read there to be copied.
_copied[digest] := class if {
	some digest, classes in _interpreter_digests
	class := min(object.keys(classes))
}

_interpreter_digests := object.union_n(array.concat(
	[{digest: {class: true}} |
		some attempts in _attempts
		some e in attempts
		not e.program in _soft
		some class in _known_classes[process.base(e.program)]
		class in table.interpreters.classes
		not process.base(e.program) in _many_in_one
		digest := e.digest.sha256
	],
	[{digest: {class: true}} |
		count(_strangers) > 0
		some i in process.controlled
		some file, class in _interpreter_files
		digest := input.processes[i].openedfiles[file].sha256
		digest in _strangers
	],
))

# Digests of programs that were run from where the run could write.
_strangers contains e.digest.sha256 if {
	some i in process.controlled
	some e in _attempts[i]
	e.program in _soft
}

# Programs that are not only an interpreter.
_many_in_one := {"bun", "deno"} | {name | some name in table.classes.multicall.names}

# Programs that lie where the run could have put them.
_soft contains program if {
	some program in {e.program | some attempts in _attempts; some e in attempts}
	process.writable(program)
}

_interpreter_files[file] := class if {
	some directory in table.interpreters.directories
	some class in table.interpreters.classes
	some name in table.classes[class].names
	file := concat("/", [directory, name])
}

# A command that is only named: words with the program first.
_named(words, source) := {
	"program": "",
	"base": name,
	"classes": classes_of(name),
	"args": args,
	"line": concat(" ", array.concat([name], args)),
	"source": source,
} if {
	name := process.base(words[0])
	args := array.slice(words, 1, count(words))
}

# Words behind env, sudo, timeout and their like.
_wrapped(run) := {rest |
	run.base in _wrappers
	rest := _unwrapped(array.concat([run.base], run.args))
	count(rest) > 0
}

_wrappers contains word if {
	some list in ["plain", "privileged", "with_operand"]
	some word in table.wrappers[list]
}

# _effective(words) is the command that words end in: a program that runs its arguments
# is one itself where it has none.
_effective(words) := rest if {
	rest := _unwrapped(words)
	count(rest) > 0
}

_effective(words) := words if {
	count(_unwrapped(words)) == 0
	process.base(words[0]) in _wrappers
}

# _unwrapped(words) is what stands behind assignments, keywords and programs that run
# their arguments. Each word becomes a letter, so that one expression finds where the
# command starts.
_unwrapped(words) := array.slice(words, length, count(words)) if {
	letters := concat("", [_letter(word) | some word in array.slice(words, 0, 40)])
	prefix := regex.find_n(
		`^(?:[AK]|C|W(?:[Vnk].|[OAN])*|S(?:V.|[nkOA])*|T(?:[Vnk].|[OA])*.)*`,
		letters,
		1,
	)
	length := count(prefix[0])
}

_letter(word) := "A" if regex.match(`^[A-Za-z_][A-Za-z0-9_]*\+?=`, word)

_letter(word) := "K" if word in table.wrappers.keywords

_letter(word) := letter if {
	not startswith(word, "-")
	not word in table.wrappers.keywords
	not regex.match(`^[A-Za-z_][A-Za-z0-9_]*\+?=`, word)
	letter := object.get(_wrapper_letters, process.base(word), "P")
}

_letter(word) := letter if {
	startswith(word, "-")
	letter := object.get(_option_letters, word, "O")
}

_wrapper_letters := object.union_n([
	{word: "W" | some word in table.wrappers.plain},
	{word: "S" | some word in table.wrappers.privileged},
	{word: "T" | some word in table.wrappers.with_operand},
	{"command": "C"},
])

# Options with a value in the next word, for some or for all of the wrappers; v and V
# of command only look a program up.
_option_letters := {
	"-v": "L", "-V": "L", "-u": "V", "-g": "V", "-C": "V", "-I": "V", "-P": "V", "-L": "V", "-d": "V", "-a": "V",
	"-p": "V", "-n": "n", "-k": "k", "-s": "k", "--user": "V", "--chdir": "V", "--unset": "V", "--adjustment": "V",
}

# Shell texts of a run, with those inside them: substitutions, -c of a shell, eval.
_texts_of(run) := {shell_text |
	some first in _first_texts(run)
	some shell_text in _with_inner[first]
}

_first_texts(run) := {shell_text |
	"shell" in run.classes
	shell_text := code(run)
}

_outer contains shell_text if {
	some run in _runs
	some shell_text in _first_texts(run)
}

_with_inner[shell_text] := ({shell_text} | once) | twice if {
	some shell_text in _outer
	once := _inner(shell_text)
	twice := {deeper | some inner in once; some deeper in _inner(inner)}
}

_inner(shell_text) := _substitutions(shell_text) | {inner |
	some pipeline in _parse(shell_text)
	some words in pipeline
	some inner in _handed_over(words)
}

_substitutions(shell_text) := {inner |
	some match in regex.find_all_string_submatch_n(_substitution, shell_text, 200)
	some part in array.slice(match, 1, 3)
	inner := trim_space(part)
	inner != ""
}

_substitution := concat("", [`(?s)[$<>]\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)|`, "`([^`]*)`"])

_handed_over(words) := {shell_text |
	name := process.base(words[0])
	"shell" in classes_of(name)
	shell_text := code({"classes": {"shell"}, "args": array.slice(words, 1, count(words))})
} | {concat(" ", array.slice(words, 1, count(words))) |
	words[0] == "eval"
}

_every_text := union({inner | some inner in _with_inner})

_parsed[shell_text] := _parse(shell_text) if {
	some shell_text in _every_text
}

# _parse(shell_text) is a list of pipelines, each a list of commands, each a list of words
# with the program first. Quotes are taken off, redirections and wrappers left out.
_parse(shell_text) := [pipeline |
	some part in split(_marked(shell_text), "\u0001")
	pipeline := [words |
		some stage in split(part, "\u0002")
		words := _effective(_words(stage))
		regex.match(`^[A-Za-z0-9_./~]`, words[0])
	]
	count(pipeline) > 0
]

# The text with one mark for every end of a pipeline and another between its commands,
# both outside of quotes, substitutions and redirections.
_marked(shell_text) := concat("", [sprintf("%s%s", [part[1], mark]) |
	some part in regex.find_all_string_submatch_n(_command, _plain(shell_text), -1)
	mark := object.get(_marks, part[2], "\u0001")
])

_marks := {"|": "\u0002", "|&": "\u0002", "": ""}

# The field separator as a variable is a way to write a blank.
_plain(shell_text) := regex.replace(replace(shell_text, "\\\n", " "), `[\x01\x02]|\$\{?IFS\}?`, " ")

# One command up to what ends it. Quoted parts and substitutions come first, so that
# what they hold ends nothing; a quote without its partner is a character.
_command := concat("", [
	`(?s)((?:`, _quoted, `|[<>]\((?:[^()]|\([^()]*\))*\)|&>>?|[<>]+[&|]?|[^;&|\n'"\\`, "`", `<>]|['"\\`, "`",
	`])*)(\|\||&&|\|&|;;|[;&|\n]|$)`,
])

_quoted := concat("", [
	`\\.|'[^']*'|"(?:[^"\\]|\\.)*"|`,
	"`[^`]*`",
	`|\$\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|\$\{[^}]*\}`,
])

# The words of a command without its redirections.
_words(stage) := [_unquoted(token) |
	tokens := regex.find_n(_token, stage, -1)
	some i, token in tokens
	not _redirects(token)
	not _needs_target(_element(tokens, i - 1))
]

_token := concat("", [
	`(?s)[<>]\((?:[^()]|\([^()]*\))*\)|&?[0-9]*[<>]+(?:[&|][0-9-]*)?|(?:`, _quoted,
	`|[^\s'"\\`, "`", `<>()])+`,
])

_redirects(token) if regex.match(`^&?[0-9]*[<>]+([&|][0-9-]*)?$`, token)

# 2>&1 names its target itself.
_needs_target(token) if regex.match(`^&?[0-9]*[<>]+[&|]?$`, token)

_unquoted(token) := regex.replace(token, `\\(.)|\$?['"]`, "$1")

# What is not there is the empty word.
_element(list, at) := list[at]

_element(list, at) := "" if not list[at]
