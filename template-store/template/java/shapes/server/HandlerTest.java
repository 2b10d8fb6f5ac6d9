/** Run by `faas test`, with assertions on. */
public class HandlerTest {
    public static void main(String[] arguments) {
        assert Handler.answer("hello".getBytes()).length == 5 : "it does not answer what it is sent";
        System.out.println("ok: it answers what it is sent");
    }
}
