import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { auditKept } from '../../src/federated/fleet/audit-round.ts'
import { auditFolder, decodeTranscript, encodeState, encodeTranscript } from '../../src/federated/index.ts'
import type { Filter } from '../../src/federated/index.ts'
import type { Transcript } from '../../src/federated/rounds/transcript.ts'
import { call } from '../cli/support.ts'
import { createFleet, PATIENT } from './support/fleet.ts'
import { hospitalRows, plan, writeSite } from './support/hospitals.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh } from './support/sites.ts'
import { filesOf, findingsOf, lying, runAnalysis, runJob } from './support/transcripts.ts'
import type { Run } from './support/transcripts.ts'

const PRIVATE = { privacy: { unit: 'record', epsilon: 2, delta: 1e-5 } }

let folder: string
let mesh: TestMesh
eachWithMesh((made) => ({ folder, mesh } = made))

function analysed(changes: object = {}, filter?: Filter): Promise<Run> {
  return runAnalysis({ folder, mesh }, changes, filter)
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
    const { sites, job, out } = await runJob({ folder, mesh }, plan({ rounds: 2, transcripts: 10 }), paths, lying(2))
    const report = await auditFolder(out)
    // The statistics, whose sum makes no state without a site's own model; then two rounds.
    expect(report.rounds.map(({ state }) => state === null)).toEqual([true, false, false])
    expect(report.rounds.map(({ findings }) => findings.length)).toEqual([0, 0, 3])
    expect(report.rounds[2]!.state).not.toBe(sites[0]!.federation.status(job).model)
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
    expect(readdirSync(join(out, 's0'))).toEqual(['analysis.json', 'signed'])
    expect(filesOf(out, /transcript|receipt/, 'signed')).toEqual([])
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
