/** Names of a trained model's outputs. */
export const OUTPUT = { scores: 'scores', probability: 'probability', loss: 'loss' } as const
