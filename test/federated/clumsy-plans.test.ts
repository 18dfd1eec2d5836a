/** Plans as people get them wrong: each is refused where it is read, by a message that names the field. */
import { execFileSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  checkAnalysisPlan,
  checkData,
  checkFedPlan,
  readFedData,
  readJobPlan,
  simulateFederation,
} from '../../src/federated/index.ts'
import { makeStart } from '../../src/federated/fleet/documents.ts'
import type { Join, Offer } from '../../src/federated/fleet/documents.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { repeatedMember } from '../../src/util/index.ts'
import { clock } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'

const feature = (column: string): object => ({ features: [{ column: 'age' }, { column }] })

describe('a plan is refused that has', () => {
  test.each([
    [{ deadline: '0s' }, /"deadline" has to be more than 0/],
    [{ deadline: '9999999999h' }, /"deadline" .*at most 500h/],
    [{ deadline: '5' }, /"deadline" has to be a time, "30s"/],
    [{ name: '\u001b[31mred' }, /"name" has a control character/],
    [{ name: '../../etc/passwd' }, /"name" has .* separator of paths/],
    [{ name: '.hidden' }, /"name" begins with a dot/],
    [{ name: '0123456789abcdef' }, /"name" .*looks like the id of a job/],
    [{ minimum: { sites: 1e9 } }, /"minimum.sites" too big/],
    [{ split: { every: 5, test: 7 } }, /"split.test" is never the rest of a division by 5/],
    [feature('num'), /"features" have "num", which is the target/],
    [feature('Patient-Name'), /"features" asks for "Patient-Name", which by its name tells who a person is/],
    [{ secagg: { f: 16, bits: 8, c: 8 } }, /"secagg.bits" 8 do not hold the sum of 3 sites/],
    [
      { strategy: { name: 'fedavg', server_rl: 0.5 } },
      /"strategy.server_rl" is no field of it: did you mean "server_lr"/,
    ],
    [{ strategy: { name: 'fedprox', mu: 0.1 } }, /"strategy.mu" .*mu of FedProx is "proximal" in "local"/],
    [
      { privacy: { unit: 'record', epsilon: 1, delta: 1e-5, clip: 1, sample_rate: 0 } },
      /"privacy.sample_rate" too small/,
    ],
    [{ privacy: { unit: 'person', epsilon: 1, delta: 1e-5, clip: 1 } }, /"privacy.unit" .*"record"\|"site"/],
    [{ privacy: { unit: 'record', epsilon: 0, delta: 1e-5, clip: 1 } }, /"privacy.epsilon" too small/],
  ])('%j', (changes, why) => {
    expect(() => checkFedPlan(plan(changes), 'plan')).toThrow(why)
  })

  test('an analysis of a column that tells who somebody is', () => {
    const statistics = [{ kind: 'histogram', column: 'ssn', values: ['1'] }]
    const asked = { schema: 'weft.fed-analysis/1', name: 'look', statistics }
    expect(() => checkAnalysisPlan(asked, 'plan')).toThrow(/"statistics.0" asks for "ssn"/)
  })

  test('a member twice: of two readers one would take the first, and the other the last', async () => {
    const path = join(temporaryFolder(), 'plan.json')
    const text = JSON.stringify(plan({ rounds: 20 }))
    writeFileSync(path, text.replace('"rounds":20', '"rounds":20,"rounds":30'))
    await expect(readJobPlan(path)).rejects.toMatchObject({ code: 'WEFT-FED-060', message: /"rounds" twice/ })
    writeFileSync(path, `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`)
    await expect(readJobPlan(path)).rejects.toMatchObject({ code: 'WEFT-FED-060' })
    await expect(readJobPlan(`${path}.gone`)).rejects.toMatchObject({ code: 'WEFT-FED-071' })
  })
})

test.each([
  ['{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}],"d":"a"}', undefined],
  ['{"a":1,"b":[1,"a"],"a":2}', 'a'],
  ['[{"x":{"k":"\\"k\\"","\\u006b":1}}]', 'k'],
])('of %s the member that is named twice is %s', (text, found) => {
  expect(repeatedMember(text)).toBe(found)
})

test('a start with more sites than the bits of a sum hold is refused, and nobody is in a roster that can make none', () => {
  const author = newIdentity()
  const changed = checkFedPlan(plan({ secagg: { f: 16, bits: 22, c: 8 } }), 'plan')
  const members = (count: number): Join[] => Array.from({ length: count }, (_, at) => ({ peer: `${at}` }) as Join)
  const offer = { job: '0'.repeat(16), plan_hash: '', plan: changed } as unknown as Offer & { plan: typeof changed }
  expect(() => makeStart(author, offer, members(3))).not.toThrow()
  expect(() => makeStart(author, offer, members(4))).toThrow(/22 do not hold the sum of 4 sites/)
})

test.each([
  [{ drops: new Map([[1, new Set(['site-x'])]]) }, /"drop" names "site-x", and there are site-0, site-1, site-2/],
  [{ drops: new Map([[9, new Set(['site-1'])]]) }, /"drop" names round 9, and there are 1 to 3/],
  [{ fraction: 0 }, /"fraction" of 0 asks nobody/],
])('a simulation of what is not there is refused: %o', async (spec, why) => {
  const folder = temporaryFolder()
  const data = [0, 1, 2].map((at) => writeSite(folder, `site-${at}`, hospitalRows(at + 1, 40)))
  const needs = { clock, engine: createOrtEngine() }
  const run = (files: readonly string[]): Promise<unknown> =>
    simulateFederation(needs, {
      plan: checkFedPlan(plan(), 'plan'),
      data: files,
      out: join(folder, 'out'),
      spec: { seed: 1, ...spec },
    })
  await expect(run(data)).rejects.toThrow(why)
  await expect(run(data.slice(1))).rejects.toThrow(/"minimum.sites" is 3 at least, and there are 2 sites/)
})

test('a shorter simulation in the folder of a longer one leaves no round of that', async () => {
  const folder = temporaryFolder()
  const data = [0, 1, 2].map((at) => writeSite(folder, `site-${at}`, hospitalRows(at + 1, 40)))
  const out = join(folder, 'out')
  for (const rounds of [3, 1])
    await simulateFederation(
      { clock, engine: createOrtEngine() },
      { plan: checkFedPlan(plan({ rounds }), 'plan'), data, out, spec: { seed: 1 } },
    )
  expect(readdirSync(out).filter((name) => name.startsWith('round-'))).toEqual(['round-0001.npz'])
})

describe('at a site', () => {
  const needs = { clock, engine: createOrtEngine() }

  test.each([
    [['no-such-part'], /"no-such-part" is in the name of no parameter; there are dense0.weight/],
    [['dense'], /leaves no parameter that the sites share/],
  ])('what is to stay, %j, has to be there, and something has to be left', async (personal, why) => {
    const folder = temporaryFolder()
    const data = writeSite(folder, 'a', hospitalRows(1, 40))
    await expect(checkData(needs, folder, checkFedPlan(plan({ personal }), 'plan'), data)).rejects.toThrow(why)
  })

  test('names of a site with control characters go to no terminal of others', async () => {
    const folder = temporaryFolder()
    const data = writeSite(folder, 'a', hospitalRows(1, 40))
    const described = (await readFedData(data)).data
    for (const change of [{ site: '\u001b[31mx' }, { dataset: 'a\nb' }]) {
      writeFileSync(data, JSON.stringify({ ...described, ...change }))
      await expect(readFedData(data)).rejects.toThrow(/has a control character in it/)
    }
  })

  test('a pipe and a device are no files: nothing waits for them, and nothing reads them without end', async () => {
    const folder = temporaryFolder()
    const pipe = join(folder, 'pipe.csv')
    execFileSync('mkfifo', [pipe])
    for (const path of [pipe, '/dev/zero']) {
      const data = writeSite(folder, 'a', hospitalRows(1, 40))
      const described = (await readFedData(data)).data
      writeFileSync(data, JSON.stringify({ ...described, path }))
      await expect(checkData(needs, folder, checkFedPlan(plan(), 'plan'), data)).rejects.toMatchObject({
        code: 'WEFT-DAT-010',
      })
    }
    await expect(readFedData(pipe)).rejects.toMatchObject({ code: 'WEFT-FED-071' })
  })
})
