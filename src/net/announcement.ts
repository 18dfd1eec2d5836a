/**
 * What a peer says about itself on the local network. In an open mesh it is readable and carries the mesh's name; in a
 * keyed one it is sealed, under a tag that changes by the hour, so that outsiders learn nothing, not even a name.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { CipherGCMTypes } from 'node:crypto'
import { z } from 'zod'
import type { RandomSource } from '../util/index.ts'
import { MAX_ADDRESS_LENGTH, MAX_NAME_LENGTH } from './constants.ts'
import { decodeControl, encodeControl } from './control.ts'
import { hmac } from './secrets.ts'

/** An announcement travels in one packet. */
export const MAX_ANNOUNCEMENT_BYTES = 1_100
export const MAX_ANNOUNCED_ADDRESSES = 8

const schema = z.object({
  /** Name of the network; an empty one in a keyed mesh. */
  network: z.string().max(MAX_NAME_LENGTH),
  peer: z.string().max(64),
  /** Fresh for each run. */
  instance: z.string().regex(/^[0-9a-f]{32}$/),
  addresses: z.array(z.string().max(MAX_ADDRESS_LENGTH)).max(MAX_ANNOUNCED_ADDRESSES),
})

export type Announcement = z.infer<typeof schema>

const CIPHER = 'chacha20-poly1305' as unknown as CipherGCMTypes
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HOUR_MS = 3_600_000
export const OPEN_TAG = '_weft._udp.local'

/** Seals and opens announcements of one network, and names the tags that they come under. */
export interface AnnouncementCodec {
  encode(announcement: Announcement): Uint8Array
  /** Undefined for anything that is no announcement of this network. */
  decode(bytes: Uint8Array): Announcement | undefined
  /** The tag to ask for now. */
  tag(wall: number): string
  /** Tags that are answered and heard: with the hours before and after, for clocks that differ. */
  tags(wall: number): readonly string[]
  /** Tags that are heard and never answered: of members who have slept while the key changed. */
  alsoHeard(wall: number): readonly string[]
}

export function openCodec(): AnnouncementCodec {
  return { encode: encodePlain, decode: decodePlain, tag: () => OPEN_TAG, tags: () => [OPEN_TAG], alsoHeard: () => [] }
}

/** @param announceKeys the one to speak under first; those after it are heard alone */
export function keyedCodec(random: RandomSource, announceKeys: () => readonly Uint8Array[]): AnnouncementCodec {
  // who has no key (any more) speaks to nobody
  const nobody = random.bytes(32)
  const current = (): Uint8Array => announceKeys()[0] ?? nobody
  return {
    encode(announcement) {
      const nonce = random.bytes(NONCE_BYTES)
      const cipher = createCipheriv(CIPHER, contentsKey(current()), nonce, { authTagLength: TAG_BYTES })
      const body = cipher.update(encodePlain(announcement))
      cipher.final()
      return Buffer.concat([nonce, body, cipher.getAuthTag()])
    },
    decode(bytes) {
      if (bytes.length < NONCE_BYTES + TAG_BYTES || bytes.length > MAX_ANNOUNCEMENT_BYTES) return undefined
      for (const key of announceKeys()) {
        const plain = opened(contentsKey(key), bytes)
        if (plain !== undefined) return decodePlain(plain)
      }
      return undefined
    },
    tag: (wall) => tagOf(current(), hourOf(wall)),
    tags: (wall) => tagsOf(current(), wall),
    alsoHeard: (wall) =>
      announceKeys()
        .slice(1)
        .flatMap((key) => tagsOf(key, wall)),
  }
}

function contentsKey(announceKey: Uint8Array): Uint8Array {
  return hmac(announceKey, 'contents')
}

function hourOf(wall: number): number {
  return Math.floor(wall / HOUR_MS)
}

function tagOf(announceKey: Uint8Array, hour: number): string {
  // a DNS label of a service has at most 15 characters and the underscore
  const label = Buffer.from(hmac(announceKey, 'tag', String(hour)))
    .toString('hex')
    .slice(0, 15)
  return `_${label}._udp.local`
}

function tagsOf(announceKey: Uint8Array, wall: number): string[] {
  return [0, -1, 1].map((shift) => tagOf(announceKey, hourOf(wall) + shift))
}

function opened(key: Uint8Array, bytes: Uint8Array): Uint8Array | undefined {
  try {
    const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES))
    const plain = decipher.update(bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES))
    decipher.final()
    return plain
  } catch {
    return undefined
  }
}

function encodePlain(announcement: Announcement): Uint8Array {
  return encodeControl(announcement)
}

function decodePlain(bytes: Uint8Array): Announcement | undefined {
  if (bytes.length > MAX_ANNOUNCEMENT_BYTES) return undefined
  try {
    return schema.parse(decodeControl(bytes))
  } catch {
    return undefined
  }
}
