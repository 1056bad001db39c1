/* SPDX-License-Identifier: Apache-2.0 */
#include "book/counts.h"
#include "book/writer.h"
#include "tls/tally.h"

static const uint8_t alerts[TG_ALERT_MAX] = {
#define X(number, label) [TG_ALERT_##number] = number,
	TG_TLS_ALERTS(X)
#undef X
};

static const uint16_t groups[TG_GROUP_MAX] = {
#define X(name, number, label) [TG_GROUP_##name] = number,
	TG_TLS_GROUPS(X)
#undef X
};

void tally_alert(struct hello_book *book, enum tg_dir dir, uint8_t number)
{
	unsigned i = 0;

	while (i < TG_ALERT_255 && alerts[i] != number)
		i++;
	book_add(&book->alerts[dir][i], 1);
}

/* RFC 8446 B.4, and those of TLS 1.2 with ECDHE (RFC 5289, RFC 7905). */
static enum tg_tls_cipher family(uint16_t suite)
{
	switch (suite) {
	case 0x1301: /* TLS_AES_128_GCM_SHA256 */
	case 0xc02b: /* TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 */
	case 0xc02f: /* TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 */
		return TG_CIPHER_AES_128_GCM;
	case 0x1302: /* TLS_AES_256_GCM_SHA384 */
	case 0xc02c: /* TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 */
	case 0xc030: /* TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 */
		return TG_CIPHER_AES_256_GCM;
	case 0x1303: /* TLS_CHACHA20_POLY1305_SHA256 */
	case 0xcca8: /* TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 */
	case 0xcca9: /* TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 */
		return TG_CIPHER_CHACHA20_POLY1305;
	default:
		return TG_CIPHER_OTHER;
	}
}

void tally_handshake(struct hello_book *book, uint16_t suite, uint16_t group)
{
	unsigned i = 0;

	while (i < TG_GROUP_OTHER && groups[i] != group)
		i++;
	book_add(&book->ciphers[family(suite)], 1);
	book_add(&book->groups[i], 1);
}
