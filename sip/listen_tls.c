// SPDX-License-Identifier: Apache-2.0
#include "sip/listen.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PEM_BYTES = 1 << 20 };

static const char *const folder_files[] = {"agent.pem", "cafile.pem"};

// Nobody is asked for a password at a terminal.
static int no_password(char *buf, int size, int writing, void *arg) {
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return 0;
}

// sofia notices what is wrong with them only when somebody calls.
static int check_files(const struct conf *conf, struct err_text *err) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return err_set(err, -ENOMEM, "out of memory");
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    int code = 0;
    if (SSL_CTX_use_certificate_chain_file(ctx, conf->sip.tls_certificate) != 1)
        code = err_set(err, -EINVAL, "Sip.TlsCertificate: \"%s\" holds no PEM certificate",
                       conf->sip.tls_certificate);
    else if (SSL_CTX_use_PrivateKey_file(ctx, conf->sip.tls_key, SSL_FILETYPE_PEM) != 1)
        code = err_set(err, -EINVAL,
                       "Sip.TlsKey: \"%s\" holds no PEM key without a password that belongs to "
                       "Sip.TlsCertificate",
                       conf->sip.tls_key);
    else if (*conf->sip.tls_ca_file && SSL_CTX_load_verify_locations(ctx, conf->sip.tls_ca_file, NULL) != 1)
        code = err_set(err, -EINVAL, "Sip.TlsCaFile: \"%s\" holds no PEM certificate", conf->sip.tls_ca_file);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return code;
}

static void path_of(char *path, size_t size, const char *folder, const char *file) {
    snprintf(path, size, "%s/%s", folder, file);
}

static int append(FILE *to, const char *from_path) {
    FILE *from = fopen(from_path, "re");
    if (!from)
        return -errno;
    char bytes[4096];
    size_t n, total = 0;
    int err = 0;
    while (!err && (n = fread(bytes, 1, sizeof bytes, from)) > 0) {
        total += n;
        if (fwrite(bytes, 1, n, to) != n)
            err = -EIO;
        else if (total > MAX_PEM_BYTES)
            err = -EFBIG;
    }
    if (!err && ferror(from))
        err = -EIO;
    if (!err && fputc('\n', to) == EOF) // a file that ends within a line
        err = -EIO;
    explicit_bzero(bytes, sizeof bytes);
    fclose(from);
    return err;
}

// `second` may be "".
static int join(const char *folder, const char *file, const char *first, const char *second) {
    char path[256];
    path_of(path, sizeof path, folder, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
    if (!to) {
        int err = -errno;
        if (fd >= 0)
            close(fd);
        return err;
    }
    int err = append(to, first);
    if (!err && *second)
        err = append(to, second);
    if (fclose(to) != 0 && !err)
        err = -EIO;
    return err;
}

int listen_tls_folder_new(char **out, const struct conf *conf, struct err_text *err) {
    int code = check_files(conf, err);
    if (code)
        return code;
    const char *tmp = getenv("TMPDIR");
    char folder[128];
    int n = snprintf(folder, sizeof folder, "%s/iqra-tls-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n < 0 || (size_t)n >= sizeof folder || !mkdtemp(folder))
        return err_set(err, errno ? -errno : -ENAMETOOLONG,
                       "Sip.TlsCertificate: no folder can be made in TMPDIR (%s); set it to one that can be "
                       "written to",
                       strerror(errno));
    char *made = strdup(folder);
    const char *authorities = *conf->sip.tls_ca_file ? conf->sip.tls_ca_file : conf->sip.tls_certificate;
    code = made ? join(folder, "agent.pem", conf->sip.tls_key, conf->sip.tls_certificate) : -ENOMEM;
    if (!code)
        code = join(folder, "cafile.pem", authorities, "");
    if (code) {
        listen_tls_folder_free(made);
        return err_set(err, code, "Sip.TlsCertificate, TlsKey or TlsCaFile cannot be read (%s)",
                       strerror(-code));
    }
    *out = made;
    return 0;
}

void listen_tls_folder_free(char *folder) {
    char path[256];
    if (!folder)
        return;
    for (size_t i = 0; i < sizeof folder_files / sizeof folder_files[0]; i++) {
        path_of(path, sizeof path, folder, folder_files[i]);
        unlink(path);
    }
    rmdir(folder);
    free(folder);
}
