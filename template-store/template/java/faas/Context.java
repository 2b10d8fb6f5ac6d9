package faas;

/** What is the same for every request. */
public final class Context {
    private final String functionName;
    private final String hostname;

    /** A context of these. */
    public Context(String functionName, String hostname) {
        this.functionName = functionName;
        this.hostname = hostname;
    }

    /** The function's name, where the platform tells it; else empty. */
    public String functionName() {
        return functionName;
    }

    /** The machine's name. */
    public String hostname() {
        return hostname;
    }
}
