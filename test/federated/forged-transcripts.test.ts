/** Exports that somebody has changed, cut or made up. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { auditFolder, decodeTranscript, encodeTranscript } from '../../src/federated/index.ts'
import type { Filter, Finding } from '../../src/federated/index.ts'
import type { Receipt } from '../../src/federated/fleet/transcript-store.ts'
import { canonicalJson } from '../../src/util/index.ts'
import { call } from '../cli/support.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh } from './support/sites.ts'
import { filesOf, findingsOf, lying, resigned, runAnalysis, signerOf } from './support/transcripts.ts'
import type { Run } from './support/transcripts.ts'

let folder: string
let mesh: TestMesh
eachWithMesh((made) => ({ folder, mesh } = made))

function analysed(changes: object = {}, filter?: Filter): Promise<Run> {
  return runAnalysis({ folder, mesh }, changes, filter)
}

describe('what was changed behind a round is found', () => {
  test('a vector, a signature, a share, a receipt; and a transcript that is not there', async () => {
    const { out, sites } = await analysed()
    const signer = signerOf(sites)
    const changed = async (
      kind: RegExp,
      change: (bytes: Buffer) => Buffer | undefined,
      by?: (bytes: Uint8Array) => Uint8Array,
    ): Promise<readonly Finding[]> => {
      const copy = join(folder, `copy-${Math.random()}`)
      cpSync(out, copy, { recursive: true })
      const [path] = filesOf(copy, kind)
      const bytes = change(readFileSync(path!))
      if (bytes === undefined) rmSync(path!)
      else writeFileSync(path!, by === undefined ? bytes : resigned(bytes, by))
      return findingsOf(await auditFolder(copy))
    }
    const untold = [1, 2, 3].map(() => 'transcript-missing')
    const kinds = (findings: readonly Finding[]): string[] => findings.map(({ kind }) => kind)
    const flipped = (at: (bytes: Buffer) => number) => (bytes: Buffer) => {
      bytes[at(bytes)]! ^= 1
      return bytes
    }
    const { transcript } = decodeTranscript(new Uint8Array(readFileSync(filesOf(out, /^round/)[0]!)))
    const vector = transcript.vectors.get(transcript.survivors[0]!.position)!
    const aggregator = signer(transcript.aggregator)
    const inVector = flipped((bytes) => bytes.indexOf(vector))
    // Whoever changed it does not speak for its aggregator, and what it says now accuses nobody.
    const unsigned = await changed(/^round/, inVector)
    expect(unsigned.map(({ kind, about }) => [kind, about])).toEqual([
      ['transcript-changed', null],
      ...untold.map((kind) => [kind, transcript.aggregator]),
    ])
    const inSigned = await changed(/^round/, inVector, aggregator)
    expect(inSigned.map(({ kind, about }) => [kind, about])).toEqual([['digest', transcript.aggregator]])
    const replaced = (from: Uint8Array) => (bytes: Buffer) => {
      const text = Buffer.from(from).toString('hex')
      const at = bytes.indexOf(text)
      bytes[at] = bytes[at] === 0x30 ? 0x31 : 0x30
      return bytes
    }
    const { signature } = transcript.survivors[0]!
    const ofSignature = await changed(/^round/, replaced(signature), aggregator)
    expect(ofSignature.map(({ kind, about }) => [kind, about])).toEqual([['bad-signature', transcript.aggregator]])
    const [shares] = [...transcript.reveals.values()]
    const ofShare = await changed(/^round/, replaced([...shares!.values()][0]!.share), aggregator)
    // All three are needed of three, so that nothing comes out; and no one share can be blamed.
    expect(kinds(ofShare)).toEqual(['share'])
    expect(kinds(await changed(/^round/, (bytes) => bytes.subarray(0, -9)))).toEqual(['transcript-damaged', ...untold])
    const missing = await changed(/^round/, () => undefined)
    expect(missing.map(({ kind, about }) => [kind, about])).toEqual(
      [1, 2, 3].map(() => ['transcript-missing', transcript.aggregator]),
    )
    const forged = await changed(/^receipt/, (bytes) =>
      Buffer.from(
        bytes.toString().replace(/"sum": "../, (text) => `${text.slice(0, -2)}${text.endsWith('00') ? '11' : '00'}`),
      ),
    )
    expect(kinds(forged)).toEqual(['receipt-refused'])
  }, 60_000)

  test('a copy beside the true one neither hides it nor speaks for anybody', async () => {
    const { sites, out } = await analysed({}, lying(1))
    const [path] = filesOf(out, /^round-0000000001/)
    const bytes = readFileSync(path!)
    const { transcript } = decodeTranscript(new Uint8Array(bytes))
    const { aggregator } = transcript
    const other = sites.find(({ identity }) => identity.id !== aggregator)!.identity
    const about = (findings: readonly Finding[]): unknown => findings.map((one) => [one.kind, one.about])
    const true_ = findingsOf(await auditFolder(out))
    mkdirSync(join(out, 'zz', 'transcripts'), { recursive: true })
    const copy = join(out, 'zz', 'transcripts', 'round-0000000001.transcript')
    // Another sum in it, which an aggregator that signed it would answer for.
    const sum = transcript.sum.map((byte) => byte ^ 255)
    writeFileSync(
      copy,
      encodeTranscript({ ...transcript, sum }, (signed) => other.sign(signed)),
    )
    expect(about(findingsOf(await auditFolder(out)))).toEqual([
      ['transcript-changed', null],
      ...(about(true_) as unknown[]),
    ])
    // One that a member makes up and signs as its own stands beside the true one, and is found wrong.
    const forged = { ...transcript, aggregator: other.id, ballots: [] }
    writeFileSync(
      copy,
      encodeTranscript(forged, (signed) => other.sign(signed)),
    )
    const both = findingsOf(await auditFolder(out))
    expect(about(both)).toEqual(expect.arrayContaining([...(about(true_) as unknown[]), ['threshold', other.id]]))
    // The true one twice is one.
    writeFileSync(copy, bytes)
    expect(findingsOf(await auditFolder(out))).toEqual(true_)
  }, 60_000)

  test('a round between others that nobody kept or was told of, and no round at all', async () => {
    const { out } = await analysed()
    for (const path of filesOf(out, /^receipt/)) rmSync(path)
    expect(findingsOf(await auditFolder(out))).toEqual([])
    for (const path of filesOf(out, /^round-0000000001/)) rmSync(path)
    const cut = await auditFolder(out)
    expect([cut.ok, findingsOf(cut).map(({ kind }) => kind)]).toEqual([false, ['transcript-missing']])
    for (const path of filesOf(out, /^round/)) rmSync(path)
    const none = await auditFolder(out)
    expect([none.ok, findingsOf(none).map(({ kind }) => kind)]).toEqual([false, ['transcript-missing']])
    expect((await call(['fed', 'audit', out])).status).toBe(8)
  }, 60_000)

  test('a receipt that names another aggregator, one member that says two things, and another roster', async () => {
    const { sites, out } = await analysed()
    const receipts = filesOf(out, /^receipt-0000000001/)
    expect(receipts.length).toBeGreaterThan(1)
    const [first] = receipts
    const text = readFileSync(first!, 'utf8')
    const { signature: _, ...said } = JSON.parse(text) as Receipt
    const member = signerOf(sites)(said.peer)
    const write = (changes: object, path: string): void => {
      const draft = { ...said, ...changes }
      const signature = Buffer.from(member(Buffer.from(canonicalJson(draft)))).toString('hex')
      writeFileSync(path, JSON.stringify({ ...draft, signature }))
    }
    const about = async (): Promise<unknown> => findingsOf(await auditFolder(out)).map((one) => [one.kind, one.about])
    const framed = sites.find(({ identity }) => identity.id !== said.aggregator)!.identity.id
    write({ aggregator: framed, sum: '00'.repeat(32) }, first!)
    expect(await about()).toEqual([['session', said.peer]])
    // Beside its true one, whichever comes first.
    writeFileSync(first!, text)
    mkdirSync(join(out, '0', 'transcripts'), { recursive: true })
    const extra = join(out, '0', 'transcripts', first!.split('/').at(-1)!)
    write({ sum: '00'.repeat(32) }, extra)
    expect(await about()).toEqual([['wrong-sum', said.aggregator]])
    // As it was before it had made a state: the same receipt, earlier.
    write({ state: null }, extra)
    expect(await about()).toEqual([])
    writeFileSync(extra, Buffer.alloc(1 << 17, ' '))
    expect(await about()).toEqual([['receipt-refused', null]])
    rmSync(extra)
    const start = join(out, 's1', 'transcripts', 'start.json')
    writeFileSync(start, readFileSync(start, 'utf8').replace('"site":"', '"site":"other '))
    expect(await about()).toEqual([['other-job', null]])
    // Deeper than can be walked: refused in a line.
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    for (const path of filesOf(out, /^offer/)) {
      writeFileSync(
        path,
        readFileSync(path, 'utf8')
          .replace(/"plan":/, `"plan":${deep},"plan_":`)
          .replace(/"plan_":[^]*?,"plan_hash"/, '"plan_hash"'),
      )
    }
    await expect(auditFolder(out)).rejects.toMatchObject({ code: 'WEFT-FED-064' })
  }, 60_000)

  test('a folder without a job in it, and files of another job', async () => {
    const { out } = await analysed()
    await expect(auditFolder(join(folder, 'none'))).rejects.toMatchObject({ code: 'WEFT-FED-060' })
    mkdirSync(join(folder, 'empty'))
    await expect(auditFolder(join(folder, 'empty'))).rejects.toMatchObject({ code: 'WEFT-FED-060' })
    const [start] = filesOf(out, /^start/)
    const document = JSON.parse(readFileSync(start!, 'utf8')) as { members: object[] }
    writeFileSync(start!, JSON.stringify({ ...document, members: document.members.slice(1) }))
    await expect(auditFolder(out)).rejects.toMatchObject({ code: 'WEFT-FED-064' })
  }, 60_000)
})
