import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditKept } from '../../src/federated/fleet/audit-round.ts'
import { auditFolder, decodeTranscript, encodeState, encodeTranscript } from '../../src/federated/index.ts'
import type { AuditReport, Filter, Finding } from '../../src/federated/index.ts'
import type { Receipt } from '../../src/federated/fleet/transcript-store.ts'
import type { Transcript } from '../../src/federated/rounds/transcript.ts'
import { canonicalJson } from '../../src/util/index.ts'
import { call } from '../cli/support.ts'
import { analysisPlan, linesOf, patients, writePatients } from './support/analysis.ts'
import { createFleet } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { createTestMesh } from './support/sites.ts'
import type { TestMesh, TestSite } from './support/sites.ts'

const PRIVATE = { privacy: { unit: 'record', epsilon: 2, delta: 1e-5 } }
const STATISTICS = [
  { kind: 'count' },
  { kind: 'quantiles', column: 'age', range: [0, 128], bins: 8, at: [0.5], rounds: 3 },
]

let folder: string
let mesh: TestMesh
beforeEach(() => {
  folder = temporaryFolder()
  mesh = createTestMesh(folder)
})
afterEach(async () => {
  await mesh.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Whoever is slow on a busy machine is waited for; whoever is gone has closed its pipe. */
const PATIENT = {
  coordinator: { stageMs: 20_000, graceMs: 300, beatMs: 80 },
  member: { silenceMs: 10_000, retryMs: 30, skipMs: 300, probeMs: 150 },
}

interface Run {
  readonly sites: readonly TestSite[]
  readonly job: string
  /** Of all exports, each in a folder of its own. */
  readonly out: string
}

/** A whole job of three sites, and what each exports of it. */
async function run(value: object, paths: readonly string[], filter?: Filter): Promise<Run> {
  const sites = await Promise.all(paths.map((_, index) => mesh.site(`s${index}`)))
  if (filter !== undefined) for (const { federation } of sites) federation.hooks = { filter }
  const { job } = await sites[0]!.federation.create(value)
  for (const [index, { federation }] of sites.entries()) await federation.joinJob({ job, data: paths[index]! })
  while (sites[0]!.federation.status(job).joined.length < sites.length) await sleep(10)
  await sites[0]!.federation.start(job)
  while (!sites.every(({ federation }) => federation.status(job).state === 'finished')) await sleep(20)
  const out = join(folder, 'out')
  for (const [index, { federation }] of sites.entries()) await federation.export(job, join(out, `s${index}`))
  return { sites, job, out }
}

function analysed(changes: object = {}, filter?: Filter): Promise<Run> {
  const paths = [1, 2, 3].map((seed) => writePatients(folder, `t${seed}`, linesOf(patients(seed, 40))))
  return run(analysisPlan(STATISTICS, { transcripts: 10, ...changes }), paths, filter)
}

function findingsOf({ rounds, findings }: AuditReport): readonly Finding[] {
  return [...findings, ...rounds.flatMap((round) => round.findings)]
}

/** Every file of a kind in the exports. */
function filesOf(out: string, kind: RegExp): string[] {
  return readdirSync(out).flatMap((site) =>
    readdirSync(join(out, site, 'transcripts'))
      .filter((name) => kind.test(name))
      .map((name) => join(out, site, 'transcripts', name)),
  )
}

function signerOf(sites: readonly TestSite[]): (peer: string) => (bytes: Uint8Array) => Uint8Array {
  return (peer) => {
    const { identity } = sites.find((site) => site.identity.id === peer)!
    return (bytes) => identity.sign(bytes)
  }
}

/** The same bytes under a signature of their own. */
function resigned(bytes: Buffer, sign: (bytes: Uint8Array) => Uint8Array): Buffer {
  const signed = bytes.subarray(0, -64)
  return Buffer.concat([signed, sign(new Uint8Array(signed))])
}

/** An aggregator that tells everybody, itself too, a sum with one number changed, in one round. */
function lying(session: number): Filter {
  return (round, messages) =>
    Promise.resolve(
      messages.map((message) => {
        if (message.kind !== 'result' || round !== session) return message
        const payload = new Uint8Array(message.payload!)
        payload[0] = (payload[0]! + 7) & 255
        return { ...message, payload }
      }),
    )
}

describe('an auditor sums each round again', () => {
  test('and finds the sum and the state that members have, to the last bit', async () => {
    const { sites, job, out } = await analysed(PRIVATE)
    const report = await auditFolder(out)
    expect(report).toMatchObject({ schema: 'weft.fed-audit/1', job, ok: true, findings: [] })
    expect(report.rounds.map(({ session }) => session)).toEqual([0, 1, 2])
    const all = sites.map(({ identity }) => identity.id).sort()
    for (const { members, receipts, findings } of report.rounds) {
      expect({ members, receipts, findings }).toEqual({ members: all, receipts: 3, findings: [] })
    }
    expect(report.rounds.at(-1)!.state).toBe(sites[0]!.federation.status(job).model)
    const said = await call(['fed', 'audit', out])
    expect(said).toMatchObject({ status: 0, stderr: 'each sum follows from what its members signed\n' })
    expect(said.stdout.split('\n').filter((line) => line.endsWith('right'))).toHaveLength(3)
    // One member's export is enough to know of what it aggregated, and what it was told.
    const own = await auditFolder(join(out, 's0'))
    expect(own.rounds.every(({ findings }) => findings.length === 0)).toBe(true)
  }, 60_000)

  test('and names the aggregator that told all of them the same wrong sum, which their votes cannot', async () => {
    const { sites, job, out } = await analysed({}, lying(1))
    // All stand for what was made of it, and nobody refused.
    expect(new Set(sites.map(({ federation }) => federation.status(job).model)).size).toBe(1)
    const report = await auditFolder(out)
    expect(report.ok).toBe(false)
    const [right, wrong, next] = report.rounds
    expect([right!.findings, next!.findings]).toEqual([[], []])
    expect(wrong!.findings.map(({ kind, about }) => ({ kind, about }))).toEqual(
      ['wrong-sum', 'wrong-sum', 'wrong-sum', 'wrong-state'].map((kind) => ({ kind, about: wrong!.aggregator })),
    )
    expect(wrong!.findings[0]!.what).toContain(wrong!.sum!)
    const said = await call(['fed', 'audit', out, '--json'])
    expect(said.status).toBe(8)
    expect(JSON.parse(said.stdout)).toEqual(report)
    // Without a receipt: all members signed that the next round begins from what the wrong sum makes.
    for (const path of filesOf(out, /^receipt/)) rmSync(path)
    const found = findingsOf(await auditFolder(out))
    expect(found.map(({ kind, about }) => ({ kind, about }))).toEqual([
      { kind: 'wrong-state', about: wrong!.aggregator },
    ])
    // One that keeps and signs the wrong sum as its own.
    const [path] = filesOf(out, /^round-0000000001/)
    const { transcript } = decodeTranscript(new Uint8Array(readFileSync(path!)))
    const { identity } = sites.find((site) => site.identity.id === transcript.aggregator)!
    const sum = transcript.sum.map((byte, index) => (index === 0 ? (byte + 7) & 255 : byte))
    writeFileSync(
      path!,
      encodeTranscript({ ...transcript, sum }, (bytes) => identity.sign(bytes)),
    )
    expect(findingsOf(await auditFolder(out)).map(({ kind }) => kind)).toEqual(['sum', 'wrong-state'])
  }, 60_000)

  test('of training too: the model of each round follows from the one before', async () => {
    const paths = [1, 2, 3].map((seed) => writeSite(folder, `h${seed}`, hospitalRows(seed, 40)))
    const { sites, job, out } = await run(plan({ rounds: 2, transcripts: 10 }), paths, lying(2))
    const report = await auditFolder(out)
    // The statistics, whose sum makes no state without a site's own model; then two rounds.
    expect(report.rounds.map(({ state }) => state === null)).toEqual([true, false, false])
    expect(report.rounds.map(({ findings }) => findings.length)).toEqual([0, 0, 3])
    expect(report.rounds[2]!.state).not.toBe(sites[0]!.federation.status(job).model)
  }, 60_000)
})

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
    const [first, second] = filesOf(out, /^receipt-0000000001/)
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
    expect(second).toBeDefined()
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

describe('what is kept', () => {
  test('is of the last rounds alone, and nothing where the plan does not ask', async () => {
    const { sites, job, out } = await analysed({ transcripts: 1 })
    for (const { home } of sites) {
      const names = readdirSync(join(home, 'federated', job, 'transcripts'))
      expect(names.filter((name) => name.startsWith('receipt'))).toEqual([expect.stringContaining('0000000002')])
      expect(names.filter((name) => name.startsWith('round')).length).toBeLessThanOrEqual(1)
    }
    expect(filesOf(out, /^receipt/)).toHaveLength(3)
    expect(findingsOf(await auditFolder(out))).toEqual([])
  }, 60_000)

  test('is nothing where the plan does not ask for it', async () => {
    const { sites, job, out } = await analysed({ transcripts: undefined })
    for (const { home } of sites) expect(readdirSync(join(home, 'federated', job))).not.toContain('transcripts')
    expect(readdirSync(join(out, 's0'))).toEqual(['analysis.json'])
  }, 60_000)
})

test('a member that is gone after it shared its keys leaves no vector in the transcript, and the sum comes out', async () => {
  const rows = [1, 2, 3, 4].map((seed) => hospitalRows(seed, 40))
  const kept: { transcript: Transcript; told: Uint8Array }[] = []
  let lost: string | undefined
  const fleet = await createFleet({
    folder,
    plan: plan({ rounds: 1 }),
    rows,
    times: PATIENT,
    keep: (session, state, round) => {
      kept.push({
        transcript: {
          ...round,
          job: 'job-1',
          session,
          aggregator: fleet.members[0]!.identity.id,
          before: encodeState(state),
        },
        told: round.sum,
      })
      return Promise.resolve()
    },
    onMessage: (from, to, kind) => {
      if (kind !== 'piece' || lost !== undefined || from.identity.id === to.identity.id) return
      lost = from.identity.id
      from.end()
    },
  })
  try {
    const here = fleet.members.filter(({ identity }) => identity.id !== lost)
    while (kept.length < 2) await sleep(20)
    await Promise.all(here.map(({ over }) => over))
    const [first] = kept
    const { roster, sharers, survivors, vectors, reveals } = first!.transcript
    expect([roster.length, sharers.length, survivors.length, vectors.size]).toEqual([4, 4, 3, 3])
    const gone = sharers.find((position) => !vectors.has(position))!
    for (const shares of reveals.values()) {
      for (const [owner, { kind }] of shares) expect(kind).toBe(owner === gone ? 's' : 'b')
    }
    const [identity] = fleet.members.map((member) => member.identity)
    for (const { transcript, told } of kept) {
      const read = decodeTranscript(encodeTranscript(transcript, (bytes) => identity!.sign(bytes)))
      expect(read.transcript).toEqual(transcript)
      const { findings, sum } = auditKept(fleet.job, read, [])
      expect(findings).toEqual([])
      expect(sum).toBe(createHash('sha256').update(told).digest('hex'))
      // Sealed shares stay out: with them a holder that is broken into later would open what it was sent.
      expect(Object.keys(read.transcript)).not.toContain('sealed')
    }
  } finally {
    await fleet.stop()
  }
}, 60_000)
