/** Virtual clients over threads: who computes a client changes no number, and what one throws comes through. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { checkFedPlan, simulateFederation } from '../../src/federated/index.ts'
import type { SimulationSpec } from '../../src/federated/index.ts'
import { ThreadShare } from '../../src/federated/simulate/thread-share.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { call } from '../cli/support.ts'
import { isWhole } from '../whole.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'

let folder: string
beforeEach(() => (folder = temporaryFolder()))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const few = { model: { kind: 'linear' }, rounds: 3, minimum: { sites: 3, records: 2 }, secagg: 'off' }

/** All files of a simulation, by name. */
async function simulated(changes: object, spec: Partial<SimulationSpec>): Promise<Record<string, string>> {
  const path = writeSite(folder, 'all', hospitalRows(3, 400))
  const out = join(folder, `out-${spec.threads}`)
  const needs = { clock: systemClock(), engine: createOrtEngine() }
  const request = { plan: checkFedPlan(plan({ ...few, ...changes }), 'plan'), data: [path], out }
  await simulateFederation(needs, { ...request, spec: { seed: 4, clients: 24, ...spec } })
  return Object.fromEntries(readdirSync(out).map((name) => [name, readFileSync(join(out, name)).toString('base64')]))
}

describe('virtual clients', () => {
  const cases = [
    ['every client in each round', {}, {}],
    ['memories of clients', { strategy: { name: 'scaffold', server_lr: 1 } }, { fraction: 0.5, skew: 0.3 }],
    ['models of their own', { ditto: { lambda: 0.1 } }, { dropouts: 0.3 }],
    ['attackers under secure sums', { secagg: { f: 16, bits: 32, c: 8 } }, { attack: { kind: 'alie', share: 0.2 } }],
  ] as const
  test.each(isWhole ? cases : [cases[1], cases[3]])(
    'are the same over one thread and several: %s',
    async (_, changes, spec) => {
      const beside = vi.spyOn(ThreadShare.prototype, 'prepare')
      onTestFinished(() => beside.mockRestore())
      const alone = await simulated(changes, { ...spec, threads: 1 })
      expect(beside).not.toHaveBeenCalled()
      expect(Object.keys(alone)).toEqual(
        expect.arrayContaining(['curve.png', 'curve.svg', 'model.onnx', 'result.json']),
      )
      expect(Object.keys(alone).filter((name) => name.endsWith('.npz'))).toHaveLength(3)
      for (const threads of isWhole ? [2, 5] : [3]) {
        beside.mockClear()
        expect(await simulated(changes, { ...spec, threads })).toEqual(alone)
        expect(new Set(beside.mock.contexts).size).toBe(threads - 1)
      }
    },
    60_000,
  )

  test('of a damaged file end a simulation with its reason, in a thread too', async () => {
    const path = writeSite(folder, 'all', [...hospitalRows(3, 40), '54,nothing,1,150,0'])
    const checked = checkFedPlan(plan(few), 'plan')
    const share = new ThreadShare({ plan: checked, path, folder, spec: { seed: 1, clients: 4 }, from: 2, to: 4 })
    await expect(share.records()).rejects.toThrow('row 40 (line 41), column "chol"')
    await share.end()
  }, 60_000)

  test('are shared out by the command as well', async () => {
    const path = writeSite(folder, 'all', hospitalRows(3, 400))
    const file = join(folder, 'plan.json')
    writeFileSync(file, JSON.stringify(plan(few)))
    const args = ['fed', 'simulate', file, '--data', path, '--clients', '24', '--seed', '4', '--json']
    const [one, two] = [
      await call([...args, '--threads', '1', '--out', join(folder, 'same')]),
      await call([...args, '--threads', '2', '--out', join(folder, 'same')]),
    ]
    expect(one.status).toBe(0)
    expect(JSON.parse(two.stdout)).toEqual(JSON.parse(one.stdout))
  }, 60_000)
})
