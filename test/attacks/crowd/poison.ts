/** What the crowd says: records that lie, and messages that are far too long. */
import { sealRecord } from '../../../src/mesh/records.ts'
import { digestFrames, recordFrame } from '../../../src/mesh/gossip-wire.ts'
import { encodeFrame } from '../../../src/net/frame.ts'
import { encodeControl, frame } from '../../../src/net/index.ts'
import type { Identity } from '../../../src/trust/index.ts'
import { profile } from '../../mesh/support/make-mesh.ts'
import type { AttackJob } from './talk.ts'

const PROTOCOLS = 2_000
const ADDRESSES = 10_000
const TOPICS = 100_000
/** Of nobody: for documentation (RFC 5737). */
const NOWHERE = '/ip4/192.0.2.9/tcp/9'

/** As many as a greeting may have, of other strangers and of nobody. */
export const LURES = Array.from({ length: 16 }, (_, n) => `/ip4/192.0.2.${n + 1}/tcp/${7000 + n}`)

/**
 * Records of its own that point at it for every model, and others in the name of members that lead elsewhere: these it cannot sign.
 * @returns whole frames
 */
export async function lies(self: Identity, job: AttackJob): Promise<Uint8Array[][]> {
  const version = Date.now()
  const wrong = Buffer.from(self.id).toString('hex').padEnd(64, '0').slice(0, 64)
  const own = (kind: string, key: string, body: unknown): Promise<{ bytes: Uint8Array }> =>
    sealRecord(self, { kind, key, version, body })
  const announced = (model: string, digest: string): object => ({
    model,
    digest,
    bytes: 1_000,
    blocks: 2,
    boundary: 'f16',
    license: 'cc0-1.0',
  })
  const addresses = [`${NOWHERE}/p2p/${self.id}`]
  const made = [await own('profile', '', { ...profile('p'), addresses })]
  const models = job.models.map(({ model, digest }) => ({ model, digest, tensors: [[0, 2]], stages: [] }))
  made.push(await own('holdings', '', { models }))
  for (const { model } of job.models) {
    // all of them agree on one that is not there: most holders of a name are believed
    made.push(await own('manifest', LURE, announced(model, LURE)))
    made.push(await own('manifest', wrong, announced(model, wrong)))
  }
  return made.map(({ bytes }) => encodeFrame(recordFrame(bytes, 0)))
}

const LURE = 'ab'.repeat(32)

/** In the name of members: a profile that leads elsewhere, with a signature that is not theirs. */
export async function forgeries(self: Identity, job: AttackJob): Promise<Uint8Array[][]> {
  const made: Uint8Array[][] = []
  for (const { id } of job.targets) {
    const body = { ...profile('p'), addresses: [`${NOWHERE}/p2p/${id}`] }
    const forger = { id, sign: (bytes: Uint8Array) => self.sign(bytes) }
    const { bytes } = await sealRecord(forger, { kind: 'profile', key: '', version: Date.now() + 60_000, body })
    made.push(encodeFrame(recordFrame(bytes, 0)))
  }
  return made
}

/** Entries of a hundred thousand records, as somebody else subscribes to topics. */
export function topics(author: string): Uint8Array[] {
  const entries = Array.from({ length: TOPICS }, (_, n) => ['manifest', `t${n}`, author, 1 + n] as const)
  return digestFrames(entries as never, true).flatMap((one) => encodeFrame(one))
}

/** What follows the greeting and the proof, with ten thousand addresses. */
export function longAbout(): Uint8Array[] {
  const addresses = Array.from({ length: ADDRESSES }, (_, n) => `/ip4/192.0.2.${n % 250}/tcp/${n}`)
  const about = { software: '9', name: 'x', network: '', instance: 'ab'.repeat(16), epoch: 0, addresses }
  // longer than a control map may be: as bytes of its own
  const control = Buffer.concat([encodeControl({}), Buffer.from(JSON.stringify(about))])
  return encodeFrame(frame({ type: 3, control: control.subarray(0, 200_000) }))
}

/** The message of libp2p's identify (protobuf, field 3 repeated), with two thousand protocols. */
export function longIdentify(): Uint8Array {
  const fields = Array.from({ length: PROTOCOLS }, (_, n) => {
    const name = Buffer.from(`/made-up/${n}/1.0.0`)
    return Buffer.concat([Buffer.from([0x1a, name.length]), name])
  })
  const body = Buffer.concat(fields)
  const length: number[] = []
  for (let rest = body.length; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.concat([Buffer.from([...length, rest]), body])
    length.push((rest & 0x7f) | 0x80)
  }
}
