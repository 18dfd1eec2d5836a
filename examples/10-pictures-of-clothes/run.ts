/** Pictures of clothes and shoes told apart by a small convolutional network, trained here in a minute or two. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, say } from '../check.ts'
import { weft } from '../weft.ts'
import type { Evaluated, Trained } from '../weft.ts'
import { findPictures } from './pictures.ts'

const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))
try {
  const { from, plan, epochs, least } = await findPictures(folder)
  const path = join(folder, 'clothes.json')
  const optimizer = { kind: 'adamw', lr: 0.002, weight_decay: 0.01, schedule: { kind: 'cosine', warmup: 50 } }
  const rest = { model: { kind: 'cnn' }, optimizer, epochs, batch: 64, metrics: ['accuracy', 'ece'] }
  await writeFile(
    path,
    JSON.stringify({ schema: 'weft.train-plan/1', name: 'clothes', task: 'multiclass', classes: 10, ...plan, ...rest }),
  )
  const out = join(folder, 'clothes')
  const start = performance.now()
  const { parameters, examples, metrics } = weft('train', path, '--out', out) as Trained
  const minutes = (performance.now() - start) / 60_000
  say(`${from}: ${examples.train} to learn from, ${parameters} parameters, ${epochs} epochs, ${minutes.toFixed(1)} min`)
  const accuracy = metrics.test['accuracy']!
  check(
    accuracy >= least,
    `${(100 * accuracy).toFixed(2)} % of ${examples.test} other pictures are right, at least ${100 * least} %`,
  )
  check(
    metrics.test['ece']! < 0.1,
    `what it says of its own certainty is off by ${(100 * metrics.test['ece']!).toFixed(1)} %`,
  )
  const { points } = JSON.parse(await readFile(join(out, 'curve.json'), 'utf8')) as { points: { loss: number }[] }
  check(points.at(-1)!.loss < points[0]!.loss, `the loss fell: ${points.map(({ loss }) => loss.toFixed(3)).join(', ')}`)
  check((await readFile(join(out, 'curve.svg'), 'utf8')).startsWith('<svg'), 'the curve is drawn in curve.svg')
  const again = weft('eval', join(out, 'model.onnx'), '--part', 'test') as Evaluated
  check(again.metrics['accuracy'] === accuracy, 'weft eval says the same of the model')
} finally {
  await rm(folder, { recursive: true, force: true })
}
