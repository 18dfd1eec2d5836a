/** A detector on the frames of a film, divided between three peers: what is where, and the bits of one peer alone. */
import { readFile } from 'node:fs/promises'
import { check, sameBits, say, table } from '../check.ts'
import { find } from '../find.ts'
import { startMesh } from '../mesh.ts'
import { boxesOf, imagesOf, overlap } from './boxes.ts'
import type { Box } from './boxes.ts'
import { framesOf } from './gif.ts'

const EVERY = 10
const model = await find({
  option: 'model',
  data: 'vision/yolox_nano.onnx',
  source: 'https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_nano.onnx',
  sha256: 'c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d',
})
const film = await find({
  option: 'in',
  data: 'vision/worker-zone-detection.gif',
  source: 'https://raw.githubusercontent.com/intel-iot-devkit/sample-videos/master/preview/worker-zone-detection.gif',
  sha256: '258a1df000dfdb488f2992ecc02ed262e7ecf03f638c3f5d1736b26718783447',
})
const frames = [...framesOf(await readFile(film))].filter((_, index) => index > 0 && index % EVERY === 0)
const reference = JSON.parse(await readFile(new URL('reference.json', import.meta.url), 'utf8')) as Box[][]

await using mesh = await startMesh('example-04', ['alice', 'bob', 'carol'])
const { peer } = mesh
await peer.importModel(model, { name: 'yolox-nano' })

// The model takes one picture at a time: each frame is a micro-batch, and while carol has one, alice has the next but one.
const images = imagesOf(frames)
const alone = await peer.infer('yolox-nano', { images }, { placement: 'local', microBatch: 1 })
const together = await peer.infer('yolox-nano', { images }, { microBatch: 1 })
const boxes = boxesOf(together.outputs['output']!, frames)

const rows = boxes.flatMap((found, index) =>
  found.map(({ label, score, box }) => [(index + 1) * EVERY, label, score.toFixed(2), box.map(Math.round).join(' ')]),
)
table([['frame', 'what', 'score', 'left top width height'], ...rows])
say(`${mesh.routeOf(together)}, ${together.stats.units} ${together.stats.kind}`)

check(together.route.length === 3 && sameBits(alone.outputs, together.outputs), 'three peers give the bits of one')
const agree = (one: Box, other: Box | undefined): boolean =>
  one.label === other?.label && Math.abs(one.score - other.score) < 0.02 && overlap(one, other) > 0.95
const same = boxes.every((found, index) => {
  const expected = reference[index] ?? []
  return found.length === expected.length && found.every((box, place) => agree(box, expected[place]))
})
check(same, 'the boxes are those of the reference: Python, OpenCV and ONNX Runtime on the same frames')
