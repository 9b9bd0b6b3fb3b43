/* What the kernel charges for loading a filter: the program's instructions on standard input, then
 * for each of ROUNDS forked children the time of its seccomp(2), in nanoseconds, one a line. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
	static struct sock_filter code[4096];
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	struct sock_fprog program = {fread(code, sizeof code[0], 4096, stdin), code};

	for (int round = 0; round < rounds; round++) {
		int ends[2], status;
		long long took = -1;
		if (pipe(ends))
			return 1;
		pid_t child = fork();
		if (child == 0) {
			prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
			long long start = now();
			long answer = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
			took = answer ? -1 : now() - start;
			_exit(write(ends[1], &took, sizeof took) != sizeof took);
		}
		close(ends[1]);
		if (child < 0 || read(ends[0], &took, sizeof took) != sizeof took || took < 0)
			return 1;
		close(ends[0]);
		waitpid(child, &status, 0);
		printf("%lld\n", took);
	}
	return 0;
}
