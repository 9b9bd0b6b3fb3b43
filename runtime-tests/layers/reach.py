# Looks for a file that lies beside this cell's layers, by all ways that programs know.
#
#   reach.py tell PATH...             prints the handle of each
#   reach.py seek TEXT HANDLE...      prints each way that led to TEXT, then what it looked at
import ctypes, os, signal, stat, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {
    'open_tree': 428, 'move_mount': 429, 'fsopen': 430, 'fsconfig': 431, 'fsmount': 432,
    'pivot_root': 155 if os.uname().machine == 'x86_64' else 41,
}
NEWNS, NEWUSER, DETACH, BIND, REC, MOVE, REMOUNT = 0x20000, 0x10000000, 2, 4096, 16384, 8192, 32
PRIVATE, CLONE, RECURSIVE, EMPTY, BENEATH, FID = 1 << 18, 1, 0x8000, 0x1000, 0x200, 0x200


def call(name, *args):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    if name in NUMBERS:
        return libc.syscall(ctypes.c_long(NUMBERS[name]), *words)
    return getattr(libc, name)(*words)


def told(path, flags=0):
    """Type and bytes of a file's handle."""
    buffer, mount = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 136), ctypes.c_int()
    if call('name_to_handle_at', -100, path.encode(), buffer, ctypes.byref(mount), flags):
        raise OSError(ctypes.get_errno(), path)
    length, kind = struct.unpack_from('Ii', buffer.raw)
    return kind, buffer.raw[8:8 + length]


def names(dir):
    try:
        fd = os.open('.', os.O_RDONLY, dir_fd=dir)
    except OSError:
        return []
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def header(flags):
    """What an overlay puts before the handles of a layer."""
    try:
        return told('/word', flags)[1][3:24].ljust(21, b'\0')
    except OSError:
        return bytes(21)


class Search:
    def __init__(self, text, handles):
        self.text, self.handles, self.way = text.encode(), handles, 'itself:'
        self.headers = [header(flags) for flags in (0, FID)] + [bytes(21)]
        self.looked = dict.fromkeys(['directories', 'mounts', 'handles', 'children', 'apart'], 0)

    def found(self, how):
        print('reached by', self.way, how, flush=True)

    def read(self, name, dir, how):
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=dir)
        except OSError:
            return
        try:
            if os.read(fd, 100) == self.text:
                self.found(how)
        except OSError:
            pass
        os.close(fd)

    def around(self, fd, how):
        """In a directory, and in all above it."""
        self.looked['directories'] += 1
        at = os.dup(fd)
        for up in range(40):
            places = ['.', 'others', 'lower/others']
            places += [f'{name}/lower/others' for name in names(at) if name != 'proc']
            for place in places:
                self.read(f'{place}/secret', at, f'{how}, {up} up, {place}')
            try:
                above = os.open('..', os.O_PATH | os.O_DIRECTORY, dir_fd=at)
            except OSError:
                break
            top = os.path.sameopenfile(above, at)
            os.close(at)
            at = above
            if top:
                break
        os.close(at)

    def through(self, mount, how):
        """By handle, on whatever file system this is, and through an overlay to what is below."""
        self.looked['mounts'] += 1
        for kind, handle in self.handles:
            tries = [(kind, handle)]
            for header in self.headers:
                header = bytearray(header)
                header[:3] = 0, 0xfb, 21 + len(handle)
                header[4] = kind
                tries += [(0xf8, bytes(3) + bytes(header) + handle), (0xfb, bytes(header) + handle)]
            for kind, handle in tries:
                self.looked['handles'] += 1
                words = struct.pack('Ii', len(handle), kind) + handle
                fd = call('open_by_handle_at', mount, words, os.O_RDONLY | os.O_NONBLOCK)
                if fd < 0:
                    continue
                if stat.S_ISDIR(os.fstat(fd).st_mode):
                    self.around(fd, f'{how}, a handle of type {kind:#x}')
                elif os.read(fd, 100) == self.text:
                    self.found(f'{how}, a handle of type {kind:#x}')
                os.close(fd)

    def every_process(self):
        for pid in filter(str.isdigit, os.listdir('/proc')):
            base = f'/proc/{pid}'
            for name in ('mountinfo', 'mounts', 'mountstats'):
                try:
                    lines = open(f'{base}/{name}').read()
                except OSError:
                    continue
                if 'others' in lines or ' lower ' in lines or '/lower ' in lines:
                    self.found(f'{base}/{name}: {lines}')
            links = [f'{base}/{name}' for name in ('root', 'cwd', 'exe')]
            for dir in ('fd', 'map_files', 'ns'):
                try:
                    links += [f'{base}/{dir}/{name}' for name in os.listdir(f'{base}/{dir}')]
                except OSError:
                    pass
            for link in links:
                self.follow(link)

    def follow(self, link):
        try:
            fd = os.open(link, os.O_PATH)
        except OSError:
            return
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            self.around(fd, link)
        for flags in (os.O_PATH, os.O_RDONLY | os.O_NONBLOCK):
            try:
                mount = os.open(link, flags)
            except OSError:
                continue
            self.through(mount, link)
            os.close(mount)
        os.close(fd)

    def every_mount(self):
        with open('/proc/self/mountinfo') as lines:
            targets = {line.split()[4] for line in lines} | {'/'}
        for target in sorted(targets):
            self.follow(target)

    def everywhere(self):
        for at in ('/', '.', '..', '/proc/1/root'):
            try:
                fd = os.open(at, os.O_PATH | os.O_DIRECTORY)
            except OSError:
                continue
            self.around(fd, at)
            os.close(fd)

    def child(self, way, act):
        """What another process finds when it has done something."""
        sys.stdout.flush()
        self.looked['children'] += 1
        pid = os.fork()
        if pid:
            status = os.waitpid(pid, 0)[1]
            self.looked['apart'] += 'unshared' in way and status == 0
            if os.WIFSIGNALED(status):
                print('broken', way, status, flush=True)
            return
        self.way = f'a child, {way}:'
        signal.alarm(60)
        try:
            act()
        except OSError:
            pass
        try:
            self.everywhere()
            self.every_mount()
        except OSError:
            pass
        except BaseException as error:
            print('broken', way, repr(error), flush=True)
        os._exit(0)


def climb(search):
    """Out of a root below the own directory."""
    above = os.open('/', os.O_PATH | os.O_DIRECTORY)
    os.chroot('/usr')
    os.fchdir(above)
    search.everywhere()
    for _ in range(40):
        os.chdir('..')
    os.chroot('.')


def uncover(search):
    own = os.open('/proc/self/ns/mnt', os.O_RDONLY)
    for target in ['/proc', '/dev', '/sys'] + ['/'] * 3:
        call('umount2', target.encode(), DETACH)
        search.everywhere()
        # Now the root is what lay below.
        call('setns', own, NEWNS)
        search.everywhere()


def remounted(search):
    call('mount', None, b'/', None, REMOUNT | BIND, None)
    with open('/proc/self/mountinfo') as lines:
        if any(' / / ' in line and ' - overlay ' in line for line in lines):
            call('mount', None, b'/', None, REMOUNT, b'index=on,nfs_export=on')
    open('/written', 'w').close()


def moved(search):
    call('mount', b'none', b'/tmp', b'tmpfs', 0, None)
    os.mkdir('/tmp/root')
    call('mount', b'/', b'/tmp/root', None, MOVE, None)
    search.everywhere()
    root = call('open_tree', -100, b'/', 0)
    call('move_mount', root, b'', -100, b'/tmp/root', 4)


def copied(search):
    for at in (b'/', b'..', b'/proc/1/root'):
        for flags in (CLONE, CLONE | RECURSIVE):
            fd = call('open_tree', -100, at, flags)
            if fd >= 0:
                search.around(fd, f'a copy of {at}')
                search.through(fd, f'a copy of {at}')


def beneath(search):
    fs = call('fsopen', b'tmpfs', 0)
    call('fsconfig', fs, 6, None, None, 0)
    tmpfs = call('fsmount', fs, 0, 0)
    call('move_mount', tmpfs, b'', -100, b'/', 4 | BENEATH)
    uncover(search)


def pivoted(search):
    call('mount', b'none', b'/tmp', b'tmpfs', 0, None)
    os.mkdir('/tmp/old')
    call('pivot_root', b'/tmp', b'/tmp/old')
    search.everywhere()
    os.chdir('/')
    call('umount2', b'/old', DETACH)
    call('umount2', b'/', DETACH)


def entered(search):
    for pid in ('1', 'self'):
        fd = os.open(f'/proc/{pid}/ns/mnt', os.O_RDONLY)
        call('setns', fd, NEWNS)
        search.everywhere()


def stacked(search):
    """An overlay of the own root that says how handles of it are opened."""
    call('mount', b'none', b'/tmp', b'tmpfs', 0, None)
    for name in ('upper', 'work', 'root'):
        os.mkdir(f'/tmp/{name}')
    options = b'lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work,index=on,nfs_export=on'
    call('mount', b'overlay', b'/tmp/root', b'overlay', 0, options)


def seek(search):
    search.everywhere()
    search.every_process()
    search.every_mount()
    acts = [climb, remounted, stacked, copied, entered, moved, beneath, pivoted, uncover]
    # First in copies of the mounts, with the own rights over them and with all: what is done to the
    # own mounts stays.
    for act in acts:
        for flags in (NEWNS, NEWUSER | NEWNS):
            def apart():
                if call('unshare', flags):
                    os._exit(1)
                call('mount', None, b'/', None, REC | PRIVATE, None)
                act(search)
            search.child(f'{act.__name__}, unshared {flags:#x}', apart)
    for act in acts:
        search.child(act.__name__, lambda: act(search))
    print('looked at', *(f'{number} {what}' for what, number in search.looked.items()))


if sys.argv[1] == 'tell':
    for path in sys.argv[2:]:
        kind, handle = told(path)
        print(f'{kind}:{handle.hex()}')
else:
    pairs = (one.split(':') for one in sys.argv[3:])
    seek(Search(sys.argv[2], [(int(kind), bytes.fromhex(handle)) for kind, handle in pairs]))
