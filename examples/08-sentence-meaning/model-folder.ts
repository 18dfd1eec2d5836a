/** An encoder as weft takes one: the graph, its tokenizer, and how many tokens it takes, in one folder. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readModel, writeModel } from '../../src/onnx/index.ts' // a model of your own has the name already

/** What the hub's `config.json` says of this model. */
const CONFIG = { hidden_size: 384, max_position_embeddings: 512 }
/** The vector of a text, as this exporter has called it, and as encoders call it. */
const [EXPORTED, KNOWN] = ['461', 'sentence_embedding']

export async function modelFolder(folder: string, graph: string, tokenizer: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  const model = await readModel(graph)
  const renamed = (name: string): string => (name === EXPORTED ? KNOWN : name)
  const nodes = model.graph.nodes.map((node) => ({ ...node, outputs: node.outputs.map(renamed) }))
  const outputs = model.graph.outputs
    .filter(({ name }) => name === EXPORTED)
    .map((value) => ({ ...value, name: KNOWN }))
  await writeModel({ ...model, graph: { ...model.graph, nodes, outputs } }, join(folder, 'model.onnx'), {
    external: 'never',
  })
  await copyFile(tokenizer, join(folder, 'tokenizer.json'))
  await writeFile(join(folder, 'config.json'), JSON.stringify(CONFIG))
  return folder
}
