-- SPDX-License-Identifier: Apache-2.0
-- A client's connection is gone; it may come back. ARGV: id.
redis.call('ZADD', 'queue:presence', 'XX', now + GRACE_MS, ARGV[2])
return 0
