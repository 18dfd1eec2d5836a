/** E11: does anything of a record leave its site? A sentinel is looked for in all that is sent, logged and kept for others. */
import { rmSync } from 'node:fs'
import { gunzipSync, inflateSync } from 'node:zlib'
import { fixedOf } from '../../src/federated/rounds/wide.ts'
import { encodeControl } from '../../src/net/index.ts'
import { createFleet } from '../federated/support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from '../federated/support/hospitals.ts'
import { least, most } from './attack.ts'
import type { Attack } from './attack.ts'

/** Numbers that nobody else has: an age and a cholesterol of one patient. */
const [AGE, CHOLESTEROL] = ['61.8437519', '417.3906253']
const TEXTS = [AGE, CHOLESTEROL]

function encodings(text: string): Buffer[] {
  const value = Number(text)
  const [single, double] = [Buffer.alloc(4), Buffer.alloc(8)]
  single.writeFloatLE(value)
  double.writeDoubleLE(value)
  const [singleBig, doubleBig] = [Buffer.alloc(4), Buffer.alloc(8)]
  singleBig.writeFloatBE(value)
  doubleBig.writeDoubleBE(value)
  const fixed = Buffer.alloc(4)
  fixed.writeInt32LE(Math.round(value * 2 ** 16))
  const wide = Buffer.alloc(8)
  wide.writeBigInt64LE(fixedOf(value))
  const plain = Buffer.from(text)
  return [
    plain,
    Buffer.from(text, 'utf16le'),
    Buffer.from(plain.toString('base64').replace(/=+$/, '').slice(0, -1)),
    Buffer.from(plain.toString('hex')),
    Buffer.from(encodeURIComponent(text)),
    Buffer.from(text.split('').reverse().join('')),
    single,
    double,
    singleBig,
    doubleBig,
    fixed,
    wide,
  ]
}

/** Encodings of the sentinels that stand in some of these bytes, packed ones unpacked. */
function found(all: readonly Uint8Array[]): number {
  const needles = TEXTS.flatMap(encodings)
  const buffers = all.flatMap((bytes) => {
    const buffer = Buffer.from(bytes)
    for (const unpack of [gunzipSync, inflateSync]) {
      try {
        return [buffer, unpack(buffer)]
      } catch {
        // It is not packed this way.
      }
    }
    return [buffer]
  })
  return needles.filter((needle) => buffers.some((buffer) => buffer.includes(needle))).length
}

const ROWS = [1, 2, 3, 4].map((seed) => hospitalRows(seed, 40, seed))

const SENTINEL = `${AGE},${CHOLESTEROL},1,150,0`

/** All bytes that leave a site in a job, and its log. */
async function capture(changes: object, own = [SENTINEL, ...ROWS[0]!]): Promise<Uint8Array[]> {
  const folder = temporaryFolder()
  const sent: Uint8Array[] = []
  const fleet = await createFleet({
    folder,
    plan: plan({ rounds: 2, ...changes }),
    rows: [own, ...ROWS.slice(1)],
    onMessage: (_, __, kind, body, payload) => void sent.push(encodeControl({ kind, body }), payload),
  })
  try {
    await Promise.all(fleet.members.map(({ over }) => over))
    const logs = fleet.members.map(({ log }) => Buffer.from(JSON.stringify(log)))
    return [...sent, ...logs]
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

export const egress: Attack = {
  id: 'E11',
  name: 'a sentinel record in what leaves its site',
  control: async () => {
    // A site of one record that sums nothing securely: the sum of its column is the record.
    const raw = await capture({ secagg: 'off' }, [SENTINEL])
    return [least('encodings of the sentinels in what leaves a site of one record in the clear', found(raw), 1)]
  },
  defended: async () => {
    const alone = await capture({}, [SENTINEL])
    const secure = await capture({})
    const plain = await capture({ secagg: 'off' })
    return [
      least('messages that were looked through', secure.length, 100),
      most('encodings of the sentinels in what leaves the site of one record, summed securely', found(alone), 0),
      most('encodings of the sentinels in them', found(secure), 0),
      most('and without secure sums', found(plain), 0),
    ]
  },
}
