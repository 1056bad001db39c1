/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NFT_BATCH_H
#define NFT_BATCH_H

#include <libmnl/libmnl.h>
#include <stdint.h>

/* One nfnetlink transaction: all of it happens, or nothing. */
struct nft_batch;

/* A new batch, or NULL without memory. */
struct nft_batch *nft_batch_new(void);
void nft_batch_free(struct nft_batch *b);

/* Begin one message; its payload is then built into the returned header. */
struct nlmsghdr *nft_batch_add(struct nft_batch *b, uint16_t type, uint16_t family,
			       uint16_t flags);

/* The message begun last is complete. */
void nft_batch_next(struct nft_batch *b);

/* Send everything and wait for the kernel's verdict.  0, or the first negative errno. */
int nft_batch_commit(struct nft_batch *b);

/* Send one dump request; cb sees each answer.  0, or a negative errno. */
int nft_dump(uint16_t type, uint16_t family, void (*build)(struct nlmsghdr *, void *),
	     mnl_cb_t cb, void *arg);

#endif
