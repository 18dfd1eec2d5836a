/** How much of a model weft takes into memory from a file that it does not know. */
export interface ReadLimits {
  /** Nodes, in all graphs and functions. */
  readonly nodes: number
  /** Tensors, in all graphs, functions and attributes. */
  readonly tensors: number
  /** An estimate, from above, of the memory that the model takes: names, attributes, small tensors, the objects. */
  readonly heldBytes: number
  /** Raw bytes of a tensor from this many on stay in the file. */
  readonly rangeFrom: number
  /** Whether tensors may lie in files beside the model's: not where the file is a stranger's and its folder is ours. */
  readonly externalData: boolean
}

export const READ_LIMITS: ReadLimits = {
  nodes: 1_000_000,
  tensors: 1_000_000,
  heldBytes: 512 * 2 ** 20,
  rangeFrom: 1024,
  externalData: true,
}

/** The engine's own reader (protobuf) stops at 100 messages inside one another: 32 nested subgraphs. */
export const MOST_NESTED = 100

/** No reader of protobuf takes a larger file. */
export const MOST_FILE_BYTES = 2 ** 31 - 1
