package conformance

func running() []behaviour {
	return []behaviour{
		{name: "execve", exit: 7, title: "execve through a symlink"},
		{name: "execveat", title: "execveat, relative to a directory and by descriptor"},
		{name: "fexecve-memfd", title: "a program in memory, run by its descriptor"},
		{name: "shebang", title: "a script with its interpreter"},
		{name: "path-search", title: "a search along PATH, and a file that is no program"},
		{name: "argv0-lies", title: "argv[0] that names another program"},
		{name: "renames-itself", title: "a process that renames itself"},
	}
}

func begetting() []behaviour {
	return []behaviour{
		{name: "fork", title: "fork"},
		{name: "vfork", title: "vfork"},
		{name: "clone", title: "clone, with CLONE_UNTRACED too, which may be refused"},
		{name: "clone3", title: "clone3, with CLONE_UNTRACED too; clone where it is answered as missing"},
		{name: "clone-parent", title: "CLONE_PARENT: a child that becomes a sibling"},
		{name: "thread-exec", exit: 7, title: "threads: one opens, one replaces the process"},
		{name: "daemon-fork", program: "daemon", args: []string{"fork"}, title: "a daemon, forked twice, that outlives the command"},
		{name: "daemon-clone", program: "daemon", args: []string{"clone"}, title: "the same by clone"},
		{name: "daemon-clone3", program: "daemon", args: []string{"clone3"}, title: "the same by clone3"},
	}
}
