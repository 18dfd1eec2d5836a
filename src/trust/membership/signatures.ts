/**
 * Signatures of entries. One takes 0.1 ms, so those of a long log are checked ahead, beside each other, in node's thread
 * pool, and whoever asks afterwards is told at once. What was checked is remembered with the very text and signatures, for
 * that one object: an entry that is another, or was changed since, is checked again.
 */
import { verify, verifyAside } from '../identity.ts'
import type { Entry, Signature } from './types.ts'

export const SIGNING_DOMAIN = 'weft membership entry 1\n'

interface Content {
  readonly text: string
  readonly signatures: readonly Signature[]
}

const checked = new WeakMap<Entry, Content>()

function isChecked(entry: Entry): boolean {
  const content = checked.get(entry)
  return (
    content !== undefined &&
    content.text === entry.text &&
    content.signatures.length === entry.signatures.length &&
    content.signatures.every(({ by, sig }, n) => entry.signatures[n]!.by === by && entry.signatures[n]!.sig === sig)
  )
}

/** Whether each signature is by the key that it names. */
export function areSigned(entry: Entry): boolean {
  if (isChecked(entry)) return true
  const signed = Buffer.from(SIGNING_DOMAIN + entry.text)
  return entry.signatures.every(({ by, sig }) => verify(by, signed, Buffer.from(sig, 'hex')))
}

/** Checks them in the thread pool, all at once: for a page, not for a log. Who is not signed is found by `areSigned`. */
export async function checkAhead(page: readonly Entry[]): Promise<void> {
  await Promise.all(page.map(checkOne))
}

async function checkOne(entry: Entry): Promise<void> {
  if (isChecked(entry)) return
  const { text } = entry
  const signatures = entry.signatures.map(({ by, sig }) => ({ by, sig }))
  const signed = Buffer.from(SIGNING_DOMAIN + text)
  const all = signatures.map(({ by, sig }) => verifyAside(by, signed, Buffer.from(sig, 'hex')))
  if ((await Promise.all(all)).every(Boolean)) checked.set(entry, { text, signatures })
}
