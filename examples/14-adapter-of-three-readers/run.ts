/** Three readers train one adapter of the embedded language model, and keep what they read: alone, together and pooled, side by side. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readNpz } from '../../src/data/index.ts'
import { readFedPlan } from '../../src/federated/index.ts'
import { homeFederationBase } from '../../src/peer/index.ts'
import { meanOf, verdict } from '../13-air-stations/mean.ts'
import { check, say, table } from '../check.ts'
import { weft } from '../weft.ts'
import { open, train } from './models.ts'
import { describe, readers } from './readers.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))
try {
  const home = ['--home', join(folder, 'home'), '--quiet']
  const { isReal, readers: all } = await readers(folder)
  weft('import', TINY, '--name', 'weft-tiny', ...home)
  const [path, out] = [join(folder, 'plan.json'), join(folder, 'federated')]
  weft('fed', 'new', '--lora', 'weft-tiny', '-o', path, ...home)
  const first = JSON.parse(await readFile(path, 'utf8')) as { readonly model: object }
  const local = { steps: 6, batch: 4, optimizer: 'adamw', lr: 0.004 }
  const changes = { model: { ...first.model, length: 48 }, split: { every: 4, test: 3 }, rounds: 3, local }
  await writeFile(path, JSON.stringify({ ...first, ...changes }))
  const data = all.flatMap((reader) => ['--data', reader.data])
  weft('fed', 'simulate', path, ...data, '--out', out, ...home)
  const [plan, base] = [await readFedPlan(path), homeFederationBase(join(folder, 'home'))]
  const pool = await open(plan, await describe(folder, 'all', all.map(({ text }) => text).join('\n')), folder, base)
  const pooled = await train(pool, plan, all.length)
  const sites = await Promise.all(all.map((reader) => open(plan, reader.data, folder, base)))
  const made = await readNpz(join(out, 'round-0003.npz'))
  const rows = []
  const gains: Record<'base' | 'alone' | 'pooled', number[]> = { base: [], alone: [], pooled: [] }
  for (const [index, site] of sites.entries()) {
    const together = Float32Array.from(site.shapes().flatMap(({ name }) => [...(made.get(name)!.data as Float32Array)]))
    const weights = { base: site.initial, alone: await train(site, plan), federated: together, pooled }
    const losses: Record<string, number[]> = {}
    for (const [name, values] of Object.entries(weights)) losses[name] = [...(await site.losses(values, 'test'))]
    rows.push([all[index]!.name, site.testRecords, ...Object.values(losses).map((each) => meanOf(each).text)])
    for (const name of ['base', 'alone', 'pooled'] as const)
      gains[name].push(...losses[name]!.map((loss, at) => loss - losses['federated']![at]!))
  }
  for (const trainer of [...sites, pool]) await trainer.close()
  table([['loss of', 'windows', 'the model', 'alone', 'federated', 'pooled'], ...rows])
  const [base0, alone, one] = [meanOf(gains.base), meanOf(gains.alone), meanOf(gains.pooled)]
  for (const [name, gain] of Object.entries({ 'the model as it was': base0, 'its own alone': alone, pooled: one }))
    say(`loss below that of ${name}, window by window: ${gain.text}: federated is ${verdict(gain)}`)
  check(base0.mean > base0.half, 'the federated adapter says unseen text better than the model as it was')
  weft('adapter', 'add', out, '--model', 'weft-tiny', '--name', 'readers', ...home)
  const said = weft('run', 'weft-tiny', 'The', '--adapter', 'readers', '--max-tokens', '8', '--local', ...home)
  check(
    JSON.stringify(said).includes('weft-tiny:readers'),
    `${isReal ? 'three books' : 'made texts'}, and weft run answers with the adapter`,
  )
} finally {
  await rm(folder, { recursive: true, force: true })
}
