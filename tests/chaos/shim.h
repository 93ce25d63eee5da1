/* What the shims have in common: the C library's own functions, and which paths they watch. SHIM
 * is the name in what they say. */

#define DESCRIPTORS 65536

static char folder[PATH_MAX];
static size_t folder_bytes;

/* The next definition of a function: the C library's. */
#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void fatal(const char *what) {
    fprintf(stderr, SHIM ": %s cannot be followed\n", what);
    abort();
}

/* From now on, what is below this folder. */
static void watch(const char *root) {
    size_t bytes = strlen(root);
    if (root[0] != '/' || bytes >= sizeof folder) fatal("the folder's name");
    memcpy(folder, root, bytes + 1);
    folder_bytes = bytes;
}

/* Where a path leads, below the folder; NULL if elsewhere. */
static const char *below(int dir, const char *path, char *full) {
    if (!folder_bytes || !path) return NULL;
    if (path[0] == '/') {
        if (snprintf(full, PATH_MAX, "%s", path) >= PATH_MAX) return NULL;
    } else {
        char base[PATH_MAX], link[64];
        snprintf(link, sizeof link, dir == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir);
        ssize_t bytes = readlink(link, base, sizeof base - 1);
        if (bytes < 0) return NULL;
        base[bytes] = 0;
        if (snprintf(full, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return NULL;
    }
    if (strncmp(full, folder, folder_bytes) || (full[folder_bytes] && full[folder_bytes] != '/')) return NULL;
    if (strstr(full, "/../") || strstr(full, "/./")) fatal(full);
    const char *rest = full + folder_bytes;
    while (*rest == '/') rest++;
    return rest;
}

/* Files that end in "-shm" are memory that is shared. */
static int is_shared(const char *name) {
    size_t bytes = strlen(name);
    return bytes >= 4 && !strcmp(name + bytes - 4, "-shm");
}

/* The mode that follows the flags, if it does. */
#define MODE(flags, last)                                 \
    mode_t mode = 0;                                      \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                \
        va_list rest;                                     \
        va_start(rest, last);                             \
        mode = va_arg(rest, mode_t);                      \
        va_end(rest);                                     \
    }
