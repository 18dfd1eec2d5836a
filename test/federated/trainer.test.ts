import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkFedPlan, checkOutside, trainOutside } from '../../src/federated/index.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { createTestMesh } from './support/sites.ts'

let folder: string
beforeEach(() => (folder = temporaryFolder()))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const SHAPES = [{ name: 'w', dims: [2] }]
const START = Float32Array.of(1, 2)
const run = (command: string, signal?: AbortSignal): Promise<Float64Array> =>
  trainOutside({ command, folder }, 'site-a', SHAPES, START, signal)

describe('a program that trains', () => {
  test('gives its update; one that writes nothing in the next round fails, whatever an earlier one wrote', async () => {
    expect(await run('cp')).toEqual(Float64Array.of(1, 2))
    await expect(run('true')).rejects.toMatchObject({ code: 'WEFT-FED-067' })
    expect(readdirSync(folder)).toEqual([])
  })

  test('fails with what it said last', async () => {
    await expect(run('echo "no rows" >&2; exit 3;')).rejects.toThrow(/exit 3: no rows/)
    await expect(run('echo nothing >')).rejects.toMatchObject({ code: 'WEFT-FED-067' })
  })

  test('ends with the job, and so does what it has started', async () => {
    const marks = mkdtempSync(join(folder, 'marks-'))
    const [begun, ended] = [join(marks, 'begun'), join(marks, 'ended')]
    writeFileSync(join(marks, 'slow.sh'), `(sleep 0.5; touch ${ended}) &\ntouch ${begun}\nwait\n`)
    const stop = new AbortController()
    const running = run(`sh ${join(marks, 'slow.sh')}`, stop.signal)
    while (!existsSync(begun)) await sleep(5)
    stop.abort(new Error('the job was stopped'))
    await expect(running).rejects.toThrow('the job was stopped')
    await sleep(800)
    expect(existsSync(ended)).toBe(false)
  })
})

const PRIVACY = { unit: 'record', epsilon: 8, delta: 1e-5, clip: 1, sample_rate: 0.2 }
const LOCAL = { steps: 5, batch: 'full', lr: 0.5 }

describe('a plan that such a program cannot carry out', () => {
  test.each([
    ['privacy.unit', { privacy: PRIVACY }],
    ['strategy.name', { strategy: { name: 'scaffold', total_clients: 3 } }],
    ['strategy.name', { strategy: { name: 'fednova' } }],
    ['local.proximal', { local: { ...LOCAL, proximal: 0.1 } }],
    ['ditto', { ditto: { lambda: 1 } }],
  ])('is refused for its %s', (field, changes) => {
    const checked = checkFedPlan(plan(changes), 'plan')
    expect(() => checkOutside(checked)).toThrow(field)
  })

  test('is refused by join, before anything is approved', async () => {
    expect(() => checkOutside(checkFedPlan(plan(), 'plan'))).not.toThrow()
    const mesh = createTestMesh(folder)
    try {
      const { federation } = await mesh.site('a')
      const { job } = await federation.create(plan({ privacy: PRIVACY }))
      const data = writeSite(folder, 'a', hospitalRows(1, 40))
      await expect(federation.joinJob({ job, data, trainer: 'cp' })).rejects.toMatchObject({ code: 'WEFT-FED-060' })
      expect(federation.status(job).approved).toBe(false)
    } finally {
      await mesh.stop()
    }
  })
})
