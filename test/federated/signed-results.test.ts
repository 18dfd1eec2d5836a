/** What came of a round is signed by those who took part, and anybody can look whether it is. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { auditFolder } from '../../src/federated/index.ts'
import { resultBytes } from '../../src/federated/rounds/signed-result.ts'
import type { RoundResult } from '../../src/federated/rounds/signed-result.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { call } from '../cli/support.ts'
import { sampled } from '../whole.ts'
import { hospitalRows, plan, writeSite } from './support/hospitals.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh } from './support/sites.ts'
import { filesOf, lying, runAnalysis, runJob } from './support/transcripts.ts'
import type { Run } from './support/transcripts.ts'

let folder: string
let mesh: TestMesh
eachWithMesh((made) => ({ folder, mesh } = made))

interface File {
  result: RoundResult
  signatures: { peer: string; signature: string }[]
}

function trained(changes: object = {}, sites = 3): Promise<Run> {
  const paths = Array.from({ length: sites }, (_, at) => writeSite(folder, `h${at}`, hospitalRows(at + 1, 40)))
  return runJob({ folder, mesh }, plan({ rounds: 1, ...changes }), paths)
}

/** Changes the signed results of the last round in all exports. */
function change(out: string, act: (file: File) => void, where = 'signed'): void {
  for (const path of filesOf(out, /^signed-0000000002/, where)) {
    const file = JSON.parse(readFileSync(path, 'utf8')) as File
    act(file)
    writeFileSync(path, JSON.stringify(file))
  }
}

async function found(out: string): Promise<string[]> {
  const { ok, findings, results } = await auditFolder(out)
  const kinds = [...findings, ...results.flatMap((result) => result.findings)].map(({ kind }) => kind)
  expect(ok).toBe(kinds.length === 0)
  return [...new Set(kinds)].sort()
}

describe('the result of each round', () => {
  test.each([{}, { secagg: 'off' }])(
    'is signed by all that took part, and an auditor says so: %j',
    async (changes) => {
      const { sites, job, out } = await trained(changes)
      const { ok, results, rounds } = await auditFolder(out)
      expect({ ok, rounds }).toEqual({ ok: true, rounds: [] })
      const all = sites.map(({ identity }) => identity.id).sort()
      expect(results.map(({ step, signers, needed }) => ({ step, signers: [...signers].sort(), needed }))).toEqual(
        [1, 2].map((step) => ({ step, signers: all, needed: 3 })),
      )
      expect(results[1]!.model).toBe(sites[0]!.federation.status(job).model)
      const said = await call(['fed', 'audit', out])
      expect(said).toMatchObject({ status: 0, stderr: 'each model is signed by enough of its members\n' })
      expect(said.stdout.split('\n').filter((line) => line.endsWith('3 of 3  stands'))).toHaveLength(2)
    },
    60_000,
  )

  const ROBUST = { strategy: { name: 'bucketed', group: 3, clip: 2, rule: 'median' }, robust: { attackers: 1 } }
  const CLUSTERS = ['a', 'b', 'c'].map((name, at) => ({ name, sites: [0, 1, 2].map((place) => `h${3 * at + place}`) }))

  test.each(
    sampled(
      [
        ['clusters', { clusters: CLUSTERS }],
        ['buckets', ROBUST],
      ] as const,
      1,
    ),
  )(
    'is one also where it was made of %s, at nine peers with documents and frames of their own',
    async (_, changes) => {
      const { sites, job, out } = await trained({ model: { kind: 'linear' }, ...changes }, 9)
      const { ok, results } = await auditFolder(out)
      expect({ ok, signers: results.map(({ signers }) => signers.length) }).toEqual({ ok: true, signers: [9, 9] })
      expect(results[1]!.needed).toBe(7)
      expect(new Set(sites.map(({ federation }) => federation.status(job).model))).toEqual(new Set([results[1]!.model]))
    },
    120_000,
  )

  test('is none where too few signed it, and who signed in another name is named', async () => {
    const { out, sites } = await trained()
    const [path] = filesOf(out, /^signed-0000000002/, 'signed')
    const whole = readFileSync(path!, 'utf8')
    const restore = (): void => change(out, (file) => Object.assign(file, JSON.parse(whole) as File))
    change(out, (file) => void file.signatures.pop())
    expect(await found(out)).toEqual(['result-few'])
    const said = await call(['fed', 'audit', out])
    expect(said.status).toBe(8)
    expect(said.stdout).toContain('a result of sum 2 is signed by 2 members, and 3 are needed: it is none')
    restore()
    expect(await found(out)).toEqual([])
    // Somebody else's signature, in the name of a member.
    const stranger = newIdentity()
    const victim = (JSON.parse(whole) as File).signatures[0]!.peer
    change(out, (file) => {
      const signature = Buffer.from(stranger.sign(resultBytes(file.result))).toString('hex')
      file.signatures[0] = { peer: victim, signature }
    })
    const report = await auditFolder(out)
    expect(report.findings[0]!.what).toContain(`a signature in the name of ${victim} that is not its`)
    expect(await found(out)).toEqual(['result-few', 'result-forged'])
    restore()
    // Another model under the same signatures.
    change(out, (file) => void (file.result = { ...file.result, model: '00'.repeat(32) }))
    expect(await found(out)).toEqual(['result-few', 'result-forged'])
    restore()
    // Too few signed another one, whose copies in the exports are no more signatures.
    const other = { ...(JSON.parse(whole) as File).result, model: '11'.repeat(32) }
    const few = sites.slice(0, 2).map(({ identity }) => ({
      peer: identity.id,
      signature: Buffer.from(identity.sign(resultBytes(other))).toString('hex'),
    }))
    const [one, two] = filesOf(out, /^signed-0000000002/, 'signed')
    for (const path of [one!, two!]) writeFileSync(path, JSON.stringify({ result: other, signatures: few }))
    expect(await found(out)).toEqual(['result-few'])
    // Members who signed two results are named, whichever of them is shown first.
    restore()
    writeFileSync(
      path!,
      JSON.stringify({
        result: { ...(JSON.parse(whole) as File).result, model: '11'.repeat(32) },
        signatures: sites.map(({ identity }) => {
          const result = { ...(JSON.parse(whole) as File).result, model: '11'.repeat(32) }
          return { peer: identity.id, signature: Buffer.from(identity.sign(resultBytes(result))).toString('hex') }
        }),
      }),
    )
    expect(await found(out)).toEqual(['result-twice'])
  }, 60_000)

  test('is not the model that is handed on, where that was changed', async () => {
    const { out } = await trained()
    for (const path of filesOf(out, /^state\.bin$/, 'signed')) {
      const bytes = readFileSync(path)
      bytes[bytes.length - 1]! ^= 1
      writeFileSync(path, bytes)
    }
    expect(await found(out)).toEqual(['model-unsigned'])
  }, 60_000)

  test('need not be known to a member that took the model up, where enough stand for that', async () => {
    const { out } = await trained()
    for (const path of filesOf(out, /^signed-0000000002/, 'signed')) rmSync(path)
    expect(await found(out)).toEqual([])
    const votes = filesOf(out, /^votes\.json$/, 'signed')
    expect(votes).toHaveLength(3)
    const whole = readFileSync(votes[0]!, 'utf8')
    const file = JSON.parse(whole) as { votes: { peer: string; signature: string }[] }
    for (const change of [
      JSON.stringify({ ...file, votes: file.votes.slice(1) }),
      JSON.stringify({ ...file, votes: [file.votes[0], file.votes[0], file.votes[0]] }),
      JSON.stringify({ ...file, votes: file.votes.map((vote) => ({ ...vote, signature: '00'.repeat(64) })) }),
      '{',
    ]) {
      writeFileSync(votes[0]!, change)
      expect(await found(out)).toEqual(['model-unsigned'])
    }
    writeFileSync(votes[0]!, whole)
    expect(await found(out)).toEqual([])
  }, 60_000)

  test('is held against the transcript, where there is one', async () => {
    const { out } = await runAnalysis({ folder, mesh })
    const report = await auditFolder(out)
    expect(report).toMatchObject({ ok: true, findings: [] })
    expect(report.results.map(({ signers }) => signers.length)).toEqual([3, 3, 3])
    change(out, (file) => void (file.result = { ...file.result, transcript: '22'.repeat(32) }), 'transcripts')
    const kinds = (await auditFolder(out)).results.flatMap(({ findings }) => findings.map(({ kind }) => kind))
    expect(kinds).toContain('result-transcript')
  }, 60_000)

  test('does not fit the transcript of an aggregator that told all a wrong sum, though all signed it', async () => {
    const { out } = await runAnalysis({ folder, mesh }, {}, lying(1))
    const { ok, results } = await auditFolder(out)
    expect(ok).toBe(false)
    expect(results[1]!.signers).toHaveLength(3)
    expect(results[1]!.findings.map(({ kind }) => kind)).toEqual(['result-model', 'result-transcript'])
    expect([results[0]!.findings, results[2]!.findings]).toEqual([[], []])
  }, 60_000)
})
