/**
 * What follows from the network key, each for one use (HKDF-SHA-256, RFC 5869, with a label of its own). An open mesh
 * has no key: there the same values follow from its name, so they keep networks apart but keep nobody out.
 */
import { createHmac, hkdfSync } from 'node:crypto'

export interface NetworkSecrets {
  /** Of the noise handshake: another prologue, no connection. */
  readonly prologue: Uint8Array
  /** Mixed into every Diffie-Hellman result of the handshake; undefined in an open mesh. */
  readonly handshake: Uint8Array | undefined
  /** Of the proof in the hello. */
  readonly proof: Uint8Array
  /**
   * Of names and contents of announcements on the local network; undefined in an open mesh. The first is spoken under,
   * the others are heard. In a cluster they follow from the group keys, which change.
   */
  readonly announce: (() => readonly Uint8Array[]) | undefined
}

export function networkSecrets(
  networkName: string,
  networkKey: Uint8Array | undefined,
  cluster?: { groupKeys(): readonly Uint8Array[] },
): NetworkSecrets {
  const name = Buffer.from(networkName.normalize('NFC'))
  const ikm = networkKey ?? name
  const salt = networkKey === undefined ? 'weft/1 open network' : 'weft/1 network key'
  const deriveFrom = (key: Uint8Array, use: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', key, salt, `weft/1 ${use}`, 32))
  const derive = (use: string): Uint8Array => deriveFrom(ikm, use)
  const announce = (): readonly Uint8Array[] =>
    (cluster?.groupKeys() ?? [ikm]).map((key) => deriveFrom(key, 'announcement'))
  // the name is part of what both must agree on in an open mesh; a keyed mesh is its key, whatever each calls it
  return {
    prologue: derive('noise prologue'),
    handshake: networkKey === undefined ? undefined : derive('noise handshake'),
    proof: derive('hello proof'),
    announce: networkKey === undefined ? undefined : announce,
  }
}

export function hmac(key: Uint8Array, ...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const mac = createHmac('sha256', key)
  for (const part of parts) mac.update(part)
  return mac.digest()
}
