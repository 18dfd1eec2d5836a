/** Transcripts of rounds of several sums: an auditor makes each bucket, each cluster and what comes of them again, to the bit. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { auditKept } from '../../src/federated/fleet/audit-round.ts'
import { auditFolder, decodeSumsTranscript, encodeSumsTranscript, encodeState } from '../../src/federated/index.ts'
import type { KeptBy, KeptSums } from '../../src/federated/rounds/transcript.ts'
import { isLong } from '../whole.ts'
import { areOver, createFleet, PATIENT } from './support/fleet.ts'
import type { Fleet, FleetInit } from './support/fleet.ts'
import { hospitalRows, plan, writeSite } from './support/hospitals.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh } from './support/sites.ts'
import { filesOf, findingsOf, lying, runJob, signerOf } from './support/transcripts.ts'

let folder: string
let mesh: TestMesh
eachWithMesh((made) => ({ folder, mesh } = made))

const SITES = 9
const CLUSTERS = [0, 1, 2].map((at) => ({
  name: `cluster-${at}`,
  sites: [0, 1, 2].map((place) => `site-${3 * at + place}`),
}))
const OF = {
  clusters: { clusters: CLUSTERS },
  buckets: { strategy: { name: 'bucketed', group: 3, clip: 2, rule: 'median' }, robust: { attackers: 1 } },
}
const planned = (changes: object): object =>
  plan({ model: { kind: 'linear' }, rounds: 1, deadline: '3s', transcripts: 10, ...changes })

interface Kept {
  readonly by: KeptBy
  readonly sums: KeptSums
}

/** A job of one round, and what was seen of each of its rounds of several sums. */
async function run(
  changes: object,
  act: (fleet: Fleet, kept: readonly Kept[]) => void,
  init: Partial<FleetInit> = {},
): Promise<void> {
  const rows = Array.from({ length: SITES }, (_, seed) => hospitalRows(seed + 1, 30 + seed))
  const kept: Kept[] = []
  const fleet = await createFleet({
    folder,
    plan: planned(changes),
    rows,
    times: PATIENT,
    cap: 100,
    keepSums: (session, state, sums) => {
      const aggregator = fleet.members[0]!.identity.id
      kept.push({ by: { job: 'job-1', session, aggregator, before: encodeState(state) }, sums })
      return Promise.resolve()
    },
    ...init,
  })
  try {
    await areOver(fleet.members)
    act(fleet, kept)
  } finally {
    await fleet.stop()
  }
}

const sign = (): Uint8Array => new Uint8Array(64).fill(1)
const foundIn = ({ job }: Fleet, by: KeptBy, sums: KeptSums): readonly string[] =>
  auditKept(job, decodeSumsTranscript(encodeSumsTranscript(by, sums, sign)), []).findings.map(({ kind }) => kind)

describe.each(Object.keys(OF) as (keyof typeof OF)[])('a round of %s', (kind) => {
  test('comes out again as its members have it, and whatever is changed in what was kept is found', async () => {
    await run(OF[kind], (fleet, kept) => {
      const { by, sums } = kept.at(-1)!
      const read = decodeSumsTranscript(encodeSumsTranscript(by, sums, sign))
      expect(read.transcript.parts.map(({ index }) => index)).toEqual([0, 1, 2])
      const { findings, members, state } = auditKept(fleet.job, read, [])
      expect(findings).toEqual([])
      expect(members).toEqual(fleet.job.peers.toSorted())
      const { hash } = fleet.members[0]!.standing.current
      expect(state).toBe(Buffer.from(hash).toString('hex'))

      const [first, ...rest] = sums.parts
      const told = sums.told.map((byte, at) => (at === 0 ? byte ^ 1 : byte))
      expect(foundIn(fleet, by, { ...sums, told })).toEqual(['sum'])
      const vectors = new Map([...first!.round.vectors].map(([at, bytes]) => [at, bytes.map((byte) => byte ^ 1)]))
      const changed = { index: 0, round: { ...first!.round, vectors } }
      expect(foundIn(fleet, by, { ...sums, parts: [changed, ...rest] })).toEqual(['digest'])
      expect(foundIn(fleet, by, { ...sums, parts: rest })).toHaveLength(1)
      const swapped = [{ ...first!, index: 1 }, { ...rest[0]!, index: 0 }, rest[1]!]
      expect(foundIn(fleet, by, { ...sums, parts: swapped })).toHaveLength(1)
      expect(foundIn(fleet, { ...by, session: by.session + 1 }, sums)).toHaveLength(1)
      if (sums.upper !== undefined) {
        const { upper: _, ...without } = sums
        expect(foundIn(fleet, by, without)).toEqual(['survivors'])
        const ballots = sums.upper.ballots.slice(1)
        expect(foundIn(fleet, by, { ...sums, upper: { ...sums.upper, ballots } })).toEqual(['threshold'])
      }
    })
  }, 60_000)
})

test('privacy over clusters is audited with its noise in it', async () => {
  const privacy = { unit: 'record', epsilon: 8, delta: 1e-5, clip: 1, sample_rate: 0.5, noise_multiplier: 4 }
  await run({ ...OF.clusters, privacy, local: { steps: 1, batch: 'full', lr: 0.5 } }, (fleet, kept) => {
    const { by, sums } = kept.at(-1)!
    expect(foundIn(fleet, by, sums)).toEqual([])
  })
}, 60_000)

describe.runIf(isLong)('exports of all members', () => {
  test.each(Object.keys(OF) as (keyof typeof OF)[])(
    'of a job with %s are right, and name the aggregator that told a wrong sum',
    async (kind) => {
      const names = Array.from({ length: SITES }, (_, at) => `site-${at}`)
      const paths = names.map((name, at) => writeSite(folder, name, hospitalRows(at + 1, 30 + at)))
      const { sites, job, out } = await runJob({ folder, mesh }, planned({ ...OF[kind], rounds: 2 }), paths, lying(2))
      const report = await auditFolder(out)
      const [statistics, right, wrong] = report.rounds
      expect([statistics!.findings, right!.findings]).toEqual([[], []])
      expect(new Set(wrong!.findings.map(({ kind: what }) => what))).toEqual(new Set(['wrong-sum']))
      expect(new Set(wrong!.findings.map(({ about }) => about))).toEqual(new Set([wrong!.aggregator]))
      expect(wrong!.receipts).toBe(SITES)
      // What all signed that they were told is not what the messages give; nor is their model, unless the median bears one number that is off.
      const isOff = wrong!.state !== sites[0]!.federation.status(job).model
      if (kind === 'clusters') expect(isOff).toBe(true)
      const signed = report.results.find(({ session }) => session === 2)!.findings.map(({ kind: what }) => what)
      expect(signed).toEqual([...(isOff ? ['result-model'] : []), 'result-transcript'])
      // One that keeps and signs the wrong sum as its own.
      const [path] = filesOf(out, /^round-0000000002/)
      const { transcript } = decodeSumsTranscript(new Uint8Array(readFileSync(path!)))
      const parts = transcript.parts.map(({ index, transcript: round }) => ({ index, round }))
      const told = transcript.told.map((byte, at) => (at === 0 ? (byte + 7) & 255 : byte))
      const { upper } = transcript
      const sums = { parts, told, ...(upper === undefined ? {} : { upper }) }
      writeFileSync(path!, encodeSumsTranscript(transcript, sums, signerOf(sites)(transcript.aggregator)))
      for (const receipt of filesOf(out, /^receipt/)) rmSync(receipt)
      expect(findingsOf(await auditFolder(out)).map(({ kind: what }) => what)).toEqual(['sum'])
    },
    120_000,
  )
})
