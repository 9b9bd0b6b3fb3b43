/* libseccomp's reading of rules: text on standard input, the program it makes on standard output.
 *
 *   default ACTION           the answer to what no rule names, as the kernel's word
 *   arch TOKEN               one more architecture
 *   rule ACTION NAME N       then N lines "INDEX OP A B"
 *   names TOKEN              instead: prints "NAME NUMBER" for each of the names that follow
 */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "oracle: %s\n", what);
	exit(1);
}

int main(void)
{
	char word[32], name[128];
	unsigned int action, token, count;
	scmp_filter_ctx filter = NULL;

	while (scanf("%31s", word) == 1) {
		if (!strcmp(word, "names")) {
			if (scanf("%u", &token) != 1)
				fail("names");
			while (scanf("%127s", name) == 1)
				printf("%s %d\n", name, seccomp_syscall_resolve_name_arch(token, name));
			return 0;
		} else if (!strcmp(word, "default")) {
			if (scanf("%u", &action) != 1 || !(filter = seccomp_init(action)))
				fail("default");
			if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS))
				fail("bad architecture");
		} else if (!strcmp(word, "arch")) {
			if (scanf("%u", &token) != 1)
				fail("arch");
			if (!seccomp_arch_exist(filter, token))
				continue;
			if (seccomp_arch_add(filter, token))
				fail("arch");
		} else if (!strcmp(word, "rule")) {
			struct scmp_arg_cmp args[6];
			if (scanf("%u %127s %u", &action, name, &count) != 3 || count > 6)
				fail("rule");
			for (unsigned int at = 0; at < count; at++) {
				unsigned long long a, b;
				unsigned int index, op;
				if (scanf("%u %u %llu %llu", &index, &op, &a, &b) != 4)
					fail("argument");
				args[at] = (struct scmp_arg_cmp){index, op, a, b};
			}
			int number = seccomp_syscall_resolve_name(name);
			if (number == __NR_SCMP_ERROR)
				continue;
			if (seccomp_rule_add_array(filter, action, number, count, args))
				fail(name);
		} else {
			fail(word);
		}
	}
	if (!filter || seccomp_export_bpf(filter, STDOUT_FILENO))
		fail("export");
	return 0;
}
