// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/redis_string.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char warnings[512];

static void on_warning(const char *text, void *arg) {
    assert_ptr_equal(arg, warnings);
    size_t used = strlen(warnings);
    snprintf(warnings + used, sizeof warnings - used, "%s|", text);
}

static struct redis_string good(const char *text) {
    struct redis_string out;
    struct err_text err = {""};
    warnings[0] = '\0';
    if (redis_string_parse(text, &out, on_warning, warnings, &err) != 0)
        fail_msg("\"%s\": %s", text, err.text);
    return out;
}

static void bad(const char *text, const char *message) {
    struct redis_string out = {.database = 77};
    struct err_text err = {""};
    assert_int_equal(redis_string_parse(text, &out, NULL, NULL, &err), -EINVAL);
    assert_int_equal(out.database, 77);
    if (!strstr(err.text, message))
        fail_msg("\"%s\" gives \"%s\", not \"%s\"", text, err.text, message);
    assert_null(strstr(err.text, "SECRET"));
}

static void defaults(void **state) {
    (void)state;
    struct redis_string s = good("redis.example");
    assert_int_equal(s.host_count, 1);
    assert_string_equal(s.hosts[0].name, "redis.example");
    assert_int_equal(s.hosts[0].port, 6379);
    assert_string_equal(s.password, "");
    assert_false(s.tls);
    assert_int_equal(s.database, 0);
    assert_int_equal(s.connect_timeout_ms, 5000);
    assert_int_equal(s.command_timeout_ms, 5000);
    assert_int_equal(good("h,ssl=true").hosts[0].port, 6380);
    assert_int_equal(good("h,ssl=true,serviceName=m").hosts[0].port, 26379);
    assert_string_equal(warnings, "");
}

static void hosts(void **state) {
    (void)state;
    struct redis_string s = good(" a-b_c.d:1 ,10.0.0.7:65535, [::1]:7 ,[fe80::1],2001:db8::5 , ");
    assert_int_equal(s.host_count, 5);
    assert_string_equal(s.hosts[0].name, "a-b_c.d");
    assert_int_equal(s.hosts[0].port, 1);
    assert_string_equal(s.hosts[1].name, "10.0.0.7");
    assert_int_equal(s.hosts[1].port, 65535);
    assert_string_equal(s.hosts[2].name, "::1");
    assert_int_equal(s.hosts[2].port, 7);
    assert_string_equal(s.hosts[3].name, "fe80::1");
    assert_int_equal(s.hosts[3].port, 6379);
    assert_string_equal(s.hosts[4].name, "2001:db8::5");
    assert_string_equal(good("unix:/run/r.sock").path, "/run/r.sock");
    assert_string_equal(good("!/run/r.sock,password=x").path, "/run/r.sock");
    bad("", "names no host");
    bad(" , ,", "names no host");
    bad("password=SECRET", "names no host");
    bad("h:0", "host 1 has no valid port");
    bad("a:1,h:65536", "host 2 has no valid port");
    bad("h:", "host 1 has no valid port");
    bad("h:1x", "host 1 has no valid port");
    bad("[::1", "host 1 cannot be understood");
    bad("[::1]x", "host 1 has no valid port");
    bad("[10.0.0.1]:1", "host 1 cannot be understood");
    bad("a b", "host 1 cannot be understood");
    bad("redis://:SECRET@h:1", "is a URL");
    bad("rediss://h", "is a URL");
    bad("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "names more than 16 hosts");
    bad("unix:/a,b:1", "both hosts and a unix socket");
    bad("unix:/a,unix:/b", "more than one unix socket");
    bad("unix:", "path must have 1 to 107 bytes");
    bad("unix:/a,ssl=true", "neither ssl nor serviceName");
    char long_path[160];
    snprintf(long_path, sizeof long_path, "unix:/%0107d", 1);
    bad(long_path, "path must have 1 to 107 bytes");
}

static void options_as_in_use(void **state) {
    (void)state;
    struct redis_string s =
        good("r1:6379, r2 ,user=desk,Password= p=w#d! ,SSL=True,sslHost=r.example,DEFAULTDATABASE=3,"
             "serviceName=mymaster,connectTimeout=250,syncTimeout=750,abortConnect=false,allowAdmin=true,"
             "name=desk-1,"
             "connectRetry=5,keepAlive=180,resolveDns=false,configCheckSeconds=30,sslCaFile=/etc/ca.pem");
    assert_int_equal(s.host_count, 2);
    assert_int_equal(s.hosts[1].port, 26379);
    assert_string_equal(s.user, "desk");
    assert_string_equal(s.password, "p=w#d!");
    assert_true(s.tls);
    assert_string_equal(s.tls_host, "r.example");
    assert_string_equal(s.tls_ca_file, "/etc/ca.pem");
    assert_int_equal(s.database, 3);
    assert_string_equal(s.service, "mymaster");
    assert_int_equal(s.connect_timeout_ms, 250);
    assert_int_equal(s.command_timeout_ms, 750);
    assert_string_equal(s.client_name, "desk-1");
    assert_int_equal(s.keep_alive_s, 180);
    assert_int_equal(s.check_s, 30);
    assert_string_equal(warnings, "");
    assert_int_equal(good("h,syncTimeout=10,asyncTimeout=20").command_timeout_ms, 20);
    good("h,pasword=SECRET,channelPrefix=x,$CONFIG=");
    assert_string_equal(warnings,
                        "option \"pasword\" is not known and has no effect|option \"channelPrefix\" has no "
                        "effect here|option \"$CONFIG\" is not known and has no effect|");
    bad("h,ssl=SECRET", "ssl must be true or false");
    bad("h,defaultDatabase=-1", "defaultDatabase must be a number from 0 to 65535");
    bad("h,defaultDatabase=1SECRET", "defaultDatabase must be");
    bad("h,connectTimeout=0", "connectTimeout must be a number from 1 to 3600000");
    bad("h,syncTimeout=", "syncTimeout must be");
    bad("h,user=u", "user is given without password");
    bad("h,name=a b", "name must be printable and without blanks");
    char text[5000];
    snprintf(text, sizeof text, "h,password=SECRET%04200d", 1);
    bad(text, "password is longer than 4096 bytes");
}

static void passwords(void **state) {
    (void)state;
    assert_string_equal(good("h,password=").password, "");
    assert_string_equal(good("h,password=a=b==").password, "a=b==");
    assert_string_equal(good("h,password=\\\\ \"x\" '%41;").password, "\\\\ \"x\" '%41;");
    // Without a comma in it the quotes belong to the password, as they do for StackExchange.
    assert_string_equal(good("h,password=\"pw\"").password, "\"pw\"");
    assert_string_equal(good("h,password=\"pw\",name=\"n\"").password, "\"pw\"");
    struct redis_string s = good("h,password= \"a,b\" ,defaultDatabase=2");
    assert_string_equal(s.password, "a,b");
    assert_int_equal(s.database, 2);
    assert_string_equal(good("password=\",\",h").password, ",");
    assert_string_equal(good("h,password=\"a,\"b\",abortConnect=false").password, "a,\"b");
    assert_string_equal(good("h,password=\"x,y\"z,\"").password, "x,y\"z,");
    bad("h,password=SECRET,SECRET two", "host 2 cannot be understood: expected host:port");
    bad("h,password=\"SECRET,SECRET two", "a password with a comma stands in double quotes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(hosts),
        cmocka_unit_test(options_as_in_use),
        cmocka_unit_test(passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
