"""Who acts: Redis. Scripts, the pipelined channel, holds, keys, the embedded Valkey."""
