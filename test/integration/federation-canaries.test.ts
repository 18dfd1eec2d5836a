/**
 * What leaves a site of a federation, looked for as an outsider would: one patient's numbers, name and note, and the name of the file, in
 * all that crosses the network, in each message as it was before it was encrypted (`--record`), in what other members keep, in exports,
 * and in what programs print. The control: a site of one record that sums nothing securely, and the same words sent in clear.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { fixedOf } from '../../src/federated/rounds/wide.ts'
import { COLUMNS, hospitalRows, plan } from '../federated/support/hospitals.ts'
import { isLong } from '../whole.ts'
import { found } from './canaries.ts'
import type { Canary } from './canaries.ts'
import { startCapture } from './capture.ts'
import { begun, finished, siteFolder } from './fed-job.ts'
import { netlabFor } from './netlab.ts'
import { createLab, joined } from './support.ts'
import type { RealPeer } from './support.ts'

const { why, netlab, on } = netlabFor('fcan')

const SITES = 4
const [AGE, CHOLESTEROL] = ['61.8437519', '417.3906253']
const NAME = 'Aurelia Quillhaven-Ostrava'
const NOTE = 'allergic to marbled newts, 078-05-1120'
const FILE = 'ward-of-quillhaven'
const SENTINEL = `${AGE},${CHOLESTEROL},1,150,0,${NAME},"${NOTE}"`
const WORDS: Readonly<Record<string, Canary>> = { age: AGE, cholesterol: CHOLESTEROL, name: NAME, note: NOTE }

/** A number as programs keep it. */
function numberOf(name: string, text: string): Record<string, Canary> {
  const value = Number(text)
  const bytes = (length: number, write: (buffer: Buffer) => unknown): Buffer => {
    const buffer = Buffer.alloc(length)
    write(buffer)
    return buffer
  }
  return {
    [`${name}, float32`]: bytes(4, (buffer) => buffer.writeFloatLE(value)),
    [`${name}, float32 big-endian`]: bytes(4, (buffer) => buffer.writeFloatBE(value)),
    [`${name}, float64`]: bytes(8, (buffer) => buffer.writeDoubleLE(value)),
    [`${name}, float64 big-endian`]: bytes(8, (buffer) => buffer.writeDoubleBE(value)),
    [`${name}, fixed 40`]: bytes(8, (buffer) => buffer.writeBigInt64LE(fixedOf(value))),
  }
}
const NUMBERS = { ...numberOf('age', AGE), ...numberOf('cholesterol', CHOLESTEROL) }

/** Of four bytes there are so many on a disk that they stand somewhere by chance: only words and long numbers are looked for in all. */
const LONG = Object.fromEntries(Object.entries(NUMBERS).filter(([name]) => !name.includes('float32')))

function writeWard(folder: string, site: string, file: string, rows: readonly string[]): string {
  writeFileSync(join(folder, `${file}.csv`), `${rows.join('\n')}\n`)
  const path = join(folder, `${site}.json`)
  const columns = [...COLUMNS, 'patient', 'note']
  const data = { schema: 'weft.fed-data/1', site, kind: 'csv', path: `${file}.csv`, header: false, columns }
  writeFileSync(path, JSON.stringify({ ...data, missing: ['?', ''] }))
  return path
}

/** Each message of all sites, as it was before it was encrypted and after it was opened. */
function recordedOf(folder: string): Buffer[] {
  const lines = readFileSync(join(folder, 'messages.jsonl'), 'utf8').trim().split('\n')
  return lines.flatMap((line) => {
    const { bytes, event } = JSON.parse(line) as { readonly bytes: string; readonly event: unknown }
    return [Buffer.from(bytes, 'base64'), Buffer.from(JSON.stringify(event))]
  })
}

function filesUnder(folder: string): Buffer[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isFile() ? [Buffer.from(name), readFileSync(path)] : []
  })
}

describe.runIf(isLong && why === undefined)('what leaves a site of a federation', () => {
  const lab = createLab()
  afterAll(async () => {
    await (await lab).stop()
    netlab('down')
  })

  test('has nothing of a record in any spelling; with one record, in the clear, it has', async () => {
    netlab('up', String(SITES), '--rtt', '4')
    const made = await lab
    const home = (name: string): string => made.home(name)
    mkdirSync(home('wire'))
    const stop = await startCapture(on('hub'), home('wire'))
    const peers: RealPeer[] = []
    const printed: Buffer[] = []
    for (let at = 0; at < SITES; at++) {
      const peer = await made.start(`s${at}`, [], on(at + 1))
      for (const stream of [peer.child.stdout!, peer.child.stderr!])
        stream.on('data', (chunk: Buffer) => void printed.push(Buffer.from(chunk)))
      peers.push(peer)
    }
    await joined(peers)
    const own = hospitalRows(1, 40).map((row) => `${row},nobody,`)
    const job = async (name: string, rows: readonly string[], changes: object): Promise<Buffer[]> => {
      const data = (peer: RealPeer, at: number): string => {
        const table = at === 0 ? rows : hospitalRows(at + 1, 40).map((row) => `${row},nobody,`)
        return writeWard(siteFolder(peer, name), `${name}-${at}`, at === 0 ? FILE : 'table', table)
      }
      const kept = (at: number): string => join(peers[at]!.home, name, 'kept')
      const id = await begun(peers, plan({ name, rounds: 2, ...changes }), data, (at) => ({ record: kept(at) }))
      await finished(peers, id, 120_000)
      const [{ access }] = peers as [RealPeer]
      await access.federated({ op: 'export', job: id, out: join(home('out'), name) })
      // The record that is begun later has what comes after it: all of this job's messages are in the first's or in both.
      return [...peers.keys()].flatMap((at) => recordedOf(kept(at)))
    }
    mkdirSync(home('out'))
    const secure = await job('secure', [SENTINEL, ...own], {})
    const alone = await job('alone', [SENTINEL], {})
    const plainly = await job('plainly', [SENTINEL, ...own], { secagg: 'off' })
    const raw = await job('raw', [SENTINEL], { secagg: 'off' })
    // The last frames: what anybody on this network would read.
    const [file = '', ...rest] = on(1)
    for (const word of Object.values(WORDS))
      execFileSync(file, [...rest, 'bash', '-c', 'printf %s "$0" > /dev/udp/10.77.0.2/9999', String(word)])
    const captured = await stop()

    const clear = captured.datagrams.filter(({ port }) => port === 9999).map(({ bytes }) => bytes)
    expect(new Set(found(clear, WORDS).map((hit) => hit.split(':')[0]))).toEqual(new Set(Object.keys(WORDS)))
    expect(found(raw, NUMBERS).length).toBeGreaterThan(0)

    const all = { ...WORDS, ...NUMBERS, file: FILE }
    for (const said of [secure, alone, plainly]) {
      expect(said.length).toBeGreaterThan(100)
      expect(found(said, all)).toEqual([])
    }
    expect(captured.streams.filter(({ length }) => length > 10_000).length).toBeGreaterThan(SITES)
    const words = { ...WORDS, ...LONG, file: FILE }
    expect(
      found(
        [...captured.streams, ...captured.datagrams.filter(({ port }) => port !== 9999).map(({ bytes }) => bytes)],
        words,
      ),
    ).toEqual([])
    expect(found(printed, words)).toEqual([])
    for (const { home: other } of peers.slice(1)) {
      // What the control sent to the others is theirs to see.
      const kept = filesUnder(join(other, 'state')).concat(
        filesUnder(join(other, 'secure')),
        filesUnder(join(other, 'alone')),
      )
      expect(found(kept, { ...WORDS, file: FILE })).toEqual([])
    }
    expect(found(filesUnder(join(home('out'), 'secure')), words)).toEqual([])
  }, 400_000)
})
